"""All SQL of accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from asyncpg import Record

from server.accounts.models import Channels, Purpose, QuietHours
from server.core.ids import PatientId, SessionId, UserId, new_id
from server.core.tx import Role, Tx

USER_FIELDS = """
    u.id, u.role, u.email, u.email_hash, u.phone, u.name, u.password_hash, u.mfa_enabled, u.language, u.time_zone,
    u.reminders, u.channels, u.quiet_hours, u.email_verified_at, u.undeliverable_at, u.disabled_at, u.created_at,
    p.id as patient_id, p.n as patient_n, p.birth_date, p.sex, d.id as doctor_id
"""
USER_JOINS = "users u left join patients p on p.user_id = u.id left join doctors d on d.user_id = u.id"
USER_BY_ID = f"select {USER_FIELDS} from {USER_JOINS} where u.id = $1"  # noqa: S608 - constants
USER_BY_EMAIL = f"select {USER_FIELDS} from {USER_JOINS} where u.email_hash = $1"  # noqa: S608 - constants
USER_BY_PATIENT = f"select {USER_FIELDS} from {USER_JOINS} where p.id = $1"  # noqa: S608 - constants
USER_BY_DOCTOR = f"select {USER_FIELDS} from {USER_JOINS} where d.id = $1"  # noqa: S608 - constants
# Newest first; a page goes on below the id of its last row (ids are UUIDv7).
USERS = f"""
    select {USER_FIELDS} from {USER_JOINS}
     where ($1::text is null or u.role = $1) and ($2::uuid is null or u.id < $2)
     order by u.id desc limit $3
"""  # noqa: S608 - constants
ADD_USER = """
    insert into users (id, role, email, email_hash, phone, phone_hash, name, password_hash, language, time_zone,
                       email_verified_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    on conflict (email_hash) do nothing
    returning id
"""
ADD_PATIENT = "insert into patients (id, user_id, created_at) values ($1, $2, $3)"
CHANGE_USER = """
    update users set name = coalesce($2, name), language = coalesce($3, language), time_zone = coalesce($4, time_zone),
                     phone = case when $5 then $6 else phone end, phone_hash = case when $5 then $7 else phone_hash end
     where id = $1
"""
CHANGE_PATIENT = """
    update patients set birth_date = case when $2 then $3 else birth_date end, sex = case when $4 then $5 else sex end
     where id = $1
"""
SET_PASSWORD = "update users set password_hash = $2 where id = $1"  # noqa: S105 - SQL
# NO KEY UPDATE: rows that refer to the user need not wait.
HOLD_USER = "select 1 from users where id = $1 for no key update"
CHANGE_WAYS = "update users set reminders = $2, channels = $3, quiet_hours = $4 where id = $1"
# Whoever followed a mail's link reads what is sent there.
VERIFY_EMAIL = """
    update users set email_verified_at = coalesce(email_verified_at, $2), undeliverable_at = null
     where id = $1 and (email_verified_at is null or undeliverable_at is not null)
    returning id
"""
# Only while the address is the one that the mail went to.
NOTE_UNDELIVERABLE = """
    update users set undeliverable_at = $3
     where id = $1 and email_hash = $2 and undeliverable_at is null returning id
"""
SET_MFA = "update users set mfa_enabled = $2 where id = $1"
DISABLE = "update users set disabled_at = $2 where id = $1 and disabled_at is null returning id"
ENABLE = "update users set disabled_at = null where id = $1 and disabled_at is not null returning id"
REVOKE_KEYS = "update api_keys set revoked_at = $2 where user_id = $1 and revoked_at is null"

ADD_LINK = """
    insert into one_time_links (id, user_id, purpose, token_hash, expires_at, created_at)
    values ($1, $2, $3, $4, $5, $6)
"""
# Of any number of clicks at once, one spends the link.
SPEND_LINK = """
    update one_time_links set used_at = $3
     where token_hash = $1 and purpose = $2 and used_at is null and expires_at > $3
    returning id, user_id
"""
READ_LINK = """
    select user_id from one_time_links where token_hash = $1 and purpose = $2 and used_at is null and expires_at > $3
"""
END_LINKS = "update one_time_links set used_at = $3 where user_id = $1 and purpose = $2 and used_at is null"

ADD_SESSION = """
    insert into sessions (id, token_hash, user_id, kind, auth_at, created_at, last_seen_at, expires_at)
    values ($1, $2, $3, $4, $5, $5, $5, $6)
"""
# A live session is seen again and read, in one statement. $3 and $4: how long a patient's, and staff's, may idle.
FIND_SESSION = """
    update sessions s set last_seen_at = $2
      from users u left join patients p on p.user_id = u.id left join doctors d on d.user_id = u.id
     where s.token_hash = $1 and u.id = s.user_id and u.disabled_at is null
       and s.ended_at is null and s.expires_at > $2
       and s.last_seen_at > $2 - case when u.role = 'PATIENT' then $3::interval else $4::interval end
    returning s.id, s.kind, s.auth_at, u.id as user_id, u.role, u.language, u.time_zone,
              p.id as patient_id, p.n as patient_n, d.id as doctor_id
"""
TOUCH_SESSION = "update sessions set last_seen_at = $2 where id = $1 and ended_at is null"
STEP_UP = "update sessions set auth_at = $2 where id = $1 and ended_at is null"
END_SESSION = """
    update sessions set ended_at = $3 where id = $1 and user_id = $2 and ended_at is null returning id
"""
END_SESSIONS = """
    update sessions set ended_at = $2 where user_id = $1 and ended_at is null and id is distinct from $3 returning id
"""
OWN_SESSIONS = """
    select id, created_at, last_seen_at, expires_at from sessions
     where user_id = $1 and ended_at is null and expires_at > $2 and kind = 'full' order by id desc limit 200
"""

TOTP = "select id, user_id, secret, last_step, confirmed_at from totp_credentials where user_id = $1"
PEND_TOTP = """
    insert into totp_credentials (id, user_id, secret, created_at) values ($1, $2, $3, $4)
    on conflict (user_id) do update set id = excluded.id, secret = excluded.secret, last_step = 0,
                                        created_at = excluded.created_at
     where totp_credentials.confirmed_at is null
    returning id
"""
CONFIRM_TOTP = """
    update totp_credentials set confirmed_at = $2, last_step = $3
     where id = $1 and confirmed_at is null and last_step < $3 returning id
"""
# A code is good once: of many tries of one step, one finds an older step here.
SPEND_STEP = """
    update totp_credentials set last_step = $2 where user_id = $1 and last_step < $2 returning id
"""
REMOVE_TOTP = "delete from totp_credentials where user_id = $1 and confirmed_at is not null returning id"
RECOVERY_CODES = "select id, code_hash from recovery_codes where user_id = $1 and used_at is null order by id"
ADD_RECOVERY_CODES = """
    insert into recovery_codes (id, user_id, code_hash, created_at)
    select id, $2, code_hash, $4 from unnest($1::uuid[], $3::text[]) as c (id, code_hash)
"""
SPEND_RECOVERY_CODE = """
    update recovery_codes set used_at = $3 where id = $1 and user_id = $2 and used_at is null returning id
"""
REMOVE_RECOVERY_CODES = "delete from recovery_codes where user_id = $1"


async def user_by_id(tx: Tx, user_id: UserId) -> Record | None:
    """A user with what hangs on it."""
    return await tx.conn.fetchrow(USER_BY_ID, user_id)


async def user_by_email(tx: Tx, email_hash: bytes) -> Record | None:
    """The user of an address."""
    return await tx.conn.fetchrow(USER_BY_EMAIL, email_hash)


async def user_by_patient(tx: Tx, patient_id: UUID) -> Record | None:
    """The user who is this patient."""
    return await tx.conn.fetchrow(USER_BY_PATIENT, patient_id)


async def user_by_doctor(tx: Tx, doctor_id: UUID) -> Record | None:
    """The user who is this doctor."""
    return await tx.conn.fetchrow(USER_BY_DOCTOR, doctor_id)


async def users(tx: Tx, role: Role | None, below: UUID | None, limit: int) -> list[Record]:
    """A page of users, newest first."""
    return await tx.conn.fetch(USERS, role, below, limit)


async def add_user(
    tx: Tx,
    user_id: UserId,
    role: Role,
    *,
    email: bytes,
    email_hash: bytes,
    phone: bytes | None,
    phone_hash: bytes | None,
    name: bytes,
    password_hash: str | None,
    language: str,
    time_zone: str,
    verified_at: datetime | None,
) -> bool:
    """Store a user; False when the address has one already."""
    return (
        await tx.conn.fetchval(
            ADD_USER,
            user_id,
            role,
            email,
            email_hash,
            phone,
            phone_hash,
            name,
            password_hash,
            language,
            time_zone,
            verified_at,
            tx.now,
        )
        is not None
    )


async def add_patient(tx: Tx, patient_id: PatientId, user_id: UserId) -> None:
    """Make a user a patient."""
    await tx.conn.execute(ADD_PATIENT, patient_id, user_id, tx.now)


async def change_user(
    tx: Tx,
    user_id: UserId,
    *,
    name: bytes | None,
    language: str | None,
    time_zone: str | None,
    phone: tuple[bytes | None, bytes | None] | None,
) -> None:
    """Change what is given; `phone` is the sealed number and its keyed hash."""
    sealed, blind = phone or (None, None)
    await tx.conn.execute(CHANGE_USER, user_id, name, language, time_zone, phone is not None, sealed, blind)


async def hold_user(tx: Tx, user_id: UserId) -> None:
    """Let nobody else change a user until this transaction ends."""
    await tx.conn.execute(HOLD_USER, user_id)


async def change_ways(tx: Tx, user_id: UserId, channels: Channels, quiet: QuietHours | None) -> None:
    """Store by which ways a user hears of what, and when not."""
    others = channels.model_dump_json(exclude={"reminders"})
    hours = quiet.model_dump_json() if quiet is not None else None
    await tx.conn.execute(CHANGE_WAYS, user_id, channels.reminders.model_dump_json(), others, hours)


async def note_undeliverable(tx: Tx, user_id: UserId, email_hash: bytes) -> bool:
    """Note that nobody is at this address; False if that was known, or the user has another one by now."""
    return await tx.conn.fetchval(NOTE_UNDELIVERABLE, user_id, email_hash, tx.now) is not None


async def change_patient(
    tx: Tx, patient_id: PatientId, birth_date: tuple[bytes | None] | None, sex: tuple[bytes | None] | None
) -> None:
    """Change what is given, a sealed value or none in a tuple of one."""
    await tx.conn.execute(
        CHANGE_PATIENT,
        patient_id,
        birth_date is not None,
        birth_date[0] if birth_date else None,
        sex is not None,
        sex[0] if sex else None,
    )


async def set_password(tx: Tx, user_id: UserId, password_hash: str) -> None:
    """Store another hash."""
    await tx.conn.execute(SET_PASSWORD, user_id, password_hash)


async def verify_email(tx: Tx, user_id: UserId) -> bool:
    """Note that the address is its owner's; False if that was known."""
    return await tx.conn.fetchval(VERIFY_EMAIL, user_id, tx.now) is not None


async def disable(tx: Tx, user_id: UserId) -> bool:
    """Shut a user out, keys included; False if that was so."""
    await tx.conn.execute(REVOKE_KEYS, user_id, tx.now)
    return await tx.conn.fetchval(DISABLE, user_id, tx.now) is not None


async def enable(tx: Tx, user_id: UserId) -> bool:
    """Let a user in again; False if nothing was in the way."""
    return await tx.conn.fetchval(ENABLE, user_id) is not None


async def add_link(tx: Tx, user_id: UserId, purpose: Purpose, token_hash: bytes, expires_at: datetime) -> None:
    """Store a one-time link; earlier ones of the same purpose are over."""
    await tx.conn.execute(END_LINKS, user_id, purpose, tx.now)
    await tx.conn.execute(ADD_LINK, new_id(tx.now), user_id, purpose, token_hash, expires_at, tx.now)


async def spend_link(tx: Tx, token_hash: bytes, purpose: Purpose) -> UserId | None:
    """Use a link up; None for an unknown, used or old one."""
    row = await tx.conn.fetchrow(SPEND_LINK, token_hash, purpose, tx.now)
    return cast(UserId, row["user_id"]) if row else None


async def read_link(tx: Tx, token_hash: bytes, purpose: Purpose) -> UserId | None:
    """Whose link it is, without using it up."""
    return cast("UserId | None", await tx.conn.fetchval(READ_LINK, token_hash, purpose, tx.now))


async def add_session(
    tx: Tx, session_id: SessionId, token_hash: bytes, user_id: UserId, kind: str, expires_at: datetime
) -> None:
    """Store a session that begins now."""
    await tx.conn.execute(ADD_SESSION, session_id, token_hash, user_id, kind, tx.now, expires_at)


async def find_session(tx: Tx, token_hash: bytes, patient_idle: timedelta, staff_idle: timedelta) -> Record | None:
    """A live session's row, seen now."""
    return await tx.conn.fetchrow(FIND_SESSION, token_hash, tx.now, patient_idle, staff_idle)


async def touch_session(tx: Tx, session_id: SessionId) -> None:
    """Note that a session is in use."""
    await tx.conn.execute(TOUCH_SESSION, session_id, tx.now)


async def step_up(tx: Tx, session_id: SessionId) -> None:
    """Note that the password was given again."""
    await tx.conn.execute(STEP_UP, session_id, tx.now)


async def end_session(tx: Tx, session_id: SessionId, user_id: UserId) -> bool:
    """End a session of a user; False if there is no such live one."""
    return await tx.conn.fetchval(END_SESSION, session_id, user_id, tx.now) is not None


async def end_sessions(tx: Tx, user_id: UserId, but: SessionId | None) -> int:
    """End all sessions of a user but one; how many."""
    return len(await tx.conn.fetch(END_SESSIONS, user_id, tx.now, but))


async def own_sessions(tx: Tx, user_id: UserId) -> list[Record]:
    """A user's live sessions, newest first."""
    return await tx.conn.fetch(OWN_SESSIONS, user_id, tx.now)


async def totp(tx: Tx, user_id: UserId) -> Record | None:
    """A user's authenticator, pending or confirmed."""
    return await tx.conn.fetchrow(TOTP, user_id)


async def pend_totp(tx: Tx, row_id: UUID, user_id: UserId, secret: bytes) -> bool:
    """Store a secret that waits for its first code; False when one is confirmed already."""
    return await tx.conn.fetchval(PEND_TOTP, row_id, user_id, secret, tx.now) is not None


async def confirm_totp(tx: Tx, row_id: UUID, user_id: UserId, step: int) -> bool:
    """Confirm a pending authenticator with the step of its first code; False when it is gone or confirmed."""
    if await tx.conn.fetchval(CONFIRM_TOTP, row_id, tx.now, step) is None:
        return False
    await tx.conn.execute(SET_MFA, user_id, True)  # noqa: FBT003 - a column's value
    return True


async def spend_step(tx: Tx, user_id: UserId, step: int) -> bool:
    """Use a time step up; False when it, or a later one, was used."""
    return await tx.conn.fetchval(SPEND_STEP, user_id, step) is not None


async def remove_totp(tx: Tx, user_id: UserId) -> bool:
    """Take a confirmed authenticator and its recovery codes away; False when there is none."""
    if await tx.conn.fetchval(REMOVE_TOTP, user_id) is None:
        return False
    await tx.conn.execute(REMOVE_RECOVERY_CODES, user_id)
    await tx.conn.execute(SET_MFA, user_id, False)  # noqa: FBT003 - a column's value
    return True


async def recovery_codes(tx: Tx, user_id: UserId) -> list[Record]:
    """The hashes of the codes that are left."""
    return await tx.conn.fetch(RECOVERY_CODES, user_id)


async def replace_recovery_codes(tx: Tx, user_id: UserId, hashes: list[str]) -> None:
    """Store new codes; older ones are gone."""
    await tx.conn.execute(REMOVE_RECOVERY_CODES, user_id)
    await tx.conn.execute(ADD_RECOVERY_CODES, [new_id(tx.now) for _ in hashes], user_id, hashes, tx.now)


async def spend_recovery_code(tx: Tx, code_id: UUID, user_id: UserId) -> bool:
    """Use a code up; False when it was."""
    return await tx.conn.fetchval(SPEND_RECOVERY_CODE, code_id, user_id, tx.now) is not None
