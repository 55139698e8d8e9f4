"""All SQL of messages and their devices."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from asyncpg import Record

from server.core.ids import ConsultationId, UserId, made_at
from server.core.tx import Tx
from server.notifications.models import Letter, Outcome, State

MEETING = """
    select c.id as consultation_id, p.user_id as patient_user_id,
           d.id as doctor_id, d.name as doctor_name, d.user_id as doctor_user_id,
           c.start_time, c.end_time, c.calendar_sequence as sequence, c.meeting_link as link, c.ended_as,
           pay.amount_minor, pay.currency, pay.expires_at, pay.status as payment_status,
           (select coalesce(sum(r.amount_minor), 0)::bigint from payment_refunds r
             where r.payment_id = pay.id and r.failed_at is null) as refund_minor
      from consultations c
      join patients p on p.id = c.patient_id
      join doctors d on d.id = c.doctor_id
      join payments pay on pay.consultation_id = c.id
     where c.id = $1 and c.created_at = $2
"""
QUEUE = """
    insert into notifications (id, user_id, channel, cause, content, created_at, kind, consultation_id, valid_until)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (cause) do nothing returning id
"""
TAKE = """
    select n.id, n.user_id, n.channel, n.content, n.kind, n.consultation_id, n.valid_until, n.created_at,
           coalesce(d.tries, 0) as tries, u.undeliverable_at is not null as undeliverable
      from notifications n
      join users u on u.id = n.user_id
      left join dispatches d on d.id = n.id
     where n.id = $1 and n.state = 'queued'
"""
SETTLE = """
    update notifications set state = $2, error = $3, sent_at = case when $2 = 'sent' then $4::timestamptz end
     where id = $1 and state = 'queued' returning id
"""
KEEP_REF = """
    insert into dispatches (id, provider_ref) values ($1, $2)
    on conflict (id) do update set provider_ref = excluded.provider_ref, due_at = null
"""
TRY_LATER = """
    insert into dispatches (id, tries, due_at) values ($1, $2, $3)
    on conflict (id) do update set tries = excluded.tries, due_at = excluded.due_at
"""
NOTE_ERROR = "update notifications set error = $2 where id = $1 and state = 'queued'"
DUE_AGAIN = """
    update dispatches set due_at = null
     where id in (select id from dispatches where due_at <= $1 order by due_at limit $2 for update skip locked)
    returning id
"""
# A report that arrived is the last word; one that it did not can be overtaken by it.
REPORT = """
    update notifications n set state = $2, error = $3
      from dispatches d
     where d.provider_ref = $1 and n.id = d.id
       and n.state = any(case when $2 = 'delivered' then array['sent', 'bounced', 'failed'] else array['sent'] end)
"""
KNOWN_REF = "select true from dispatches where provider_ref = $1"
LATEST = (
    "select id, user_id, channel, content, created_at from notifications order by created_at desc, id desc limit $1"
)
OF_CAUSES = """
    select id, user_id, content, created_at from notifications
     where cause = any($1::text[]) order by created_at desc, id desc limit 1
"""

ADD_DEVICE = """
    insert into push_subscriptions (id, user_id, session_id, subscription, endpoint_hash, created_at)
    values ($1, $2, $3, $4, $5, $6)
"""
# One browser has one owner: who signs in there next takes it over.
REMOVE_ENDPOINT = "delete from push_subscriptions where endpoint_hash = $1"
KEEP_NEWEST = """
    delete from push_subscriptions where user_id = $1 and id not in (
        select id from push_subscriptions where user_id = $1 order by created_at desc, id desc limit $2)
"""
DEVICES = """
    select id, user_id, session_id, subscription, created_at from push_subscriptions
     where user_id = $1 order by created_at desc, id desc
"""
DEVICE = "select id, user_id, subscription from push_subscriptions where id = $1"
REMOVE_DEVICE = "delete from push_subscriptions where id = $1 and user_id = $2 returning id"
END_DEVICES = """
    delete from push_subscriptions
     where user_id = $1 and ($2::uuid is null or session_id = $2) and session_id is distinct from $3
"""


async def meeting(tx: Tx, consultation_id: ConsultationId) -> Record | None:
    """What letters say of a consultation."""
    return await tx.conn.fetchrow(MEETING, consultation_id, made_at(consultation_id))


async def queue(tx: Tx, id_: UUID, letter: Letter, channel: str, cause: str, content: bytes) -> bool:
    """Store a message; False when its cause has one already."""
    stored = await tx.conn.fetchval(
        QUEUE,
        id_,
        letter.user_id,
        channel,
        cause,
        content,
        tx.now,
        letter.kind,
        letter.consultation_id,
        letter.valid_until,
    )
    return stored is not None


async def take(tx: Tx, id_: UUID) -> Record | None:
    """A message that is still to leave."""
    return await tx.conn.fetchrow(TAKE, id_)


async def settle(tx: Tx, id_: UUID, outcome: Outcome) -> bool:
    """Note what became of a message; False if that was known."""
    if await tx.conn.fetchval(SETTLE, id_, outcome.state, outcome.error, tx.now) is None:
        return False
    if outcome.provider_ref is not None:
        await tx.conn.execute(KEEP_REF, id_, outcome.provider_ref)
    return True


async def try_later(tx: Tx, id_: UUID, tries: int, due_at: datetime, error: str) -> None:
    """Have a message tried again then."""
    await tx.conn.execute(TRY_LATER, id_, tries, due_at)
    await tx.conn.execute(NOTE_ERROR, id_, error)


async def due_again(tx: Tx, limit: int) -> list[UUID]:
    """Claim the messages whose next try is due."""
    return [cast(UUID, row["id"]) for row in await tx.conn.fetch(DUE_AGAIN, tx.now, limit)]


async def report(tx: Tx, provider_ref: str, state: State, error: str | None) -> None:
    """Note what a provider says became of a message that it took."""
    await tx.conn.execute(REPORT, provider_ref, state, error)


async def known_ref(tx: Tx, provider_ref: str) -> bool:
    """Whether a provider's name of a message is one that it gave us."""
    return bool(await tx.conn.fetchval(KNOWN_REF, provider_ref))


async def latest(tx: Tx, limit: int) -> list[Record]:
    """The newest messages first."""
    return await tx.conn.fetch(LATEST, limit)


async def newest_of(tx: Tx, causes: list[str]) -> Record | None:
    """The newest message of these causes."""
    return await tx.conn.fetchrow(OF_CAUSES, causes)


async def add_device(
    tx: Tx, id_: UUID, user_id: UserId, session_id: UUID | None, sealed: bytes, endpoint_hash: bytes, most: int
) -> None:
    """Store a browser in place of what was known of it; of more than `most` a user the oldest go."""
    await tx.conn.execute(REMOVE_ENDPOINT, endpoint_hash)
    await tx.conn.execute(ADD_DEVICE, id_, user_id, session_id, sealed, endpoint_hash, tx.now)
    await tx.conn.execute(KEEP_NEWEST, user_id, most)


async def devices(tx: Tx, user_id: UserId) -> list[Record]:
    """A user's browsers, the newest first."""
    return await tx.conn.fetch(DEVICES, user_id)


async def device(tx: Tx, id_: UUID) -> Record | None:
    """One browser."""
    return await tx.conn.fetchrow(DEVICE, id_)


async def remove_device(tx: Tx, id_: UUID, user_id: UserId) -> bool:
    """Forget a user's browser; False if it is not theirs."""
    return await tx.conn.fetchval(REMOVE_DEVICE, id_, user_id) is not None


async def end_devices(tx: Tx, user_id: UserId, session_id: UUID | None, but: UUID | None) -> None:
    """Forget the browsers of a session, or all of a user but one session's."""
    await tx.conn.execute(END_DEVICES, user_id, session_id, but)
