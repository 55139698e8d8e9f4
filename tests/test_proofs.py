"""The proofs of the chaos test find what breaks them: each has its damage, done to a clinic in which all is well."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from tests.house import Cast, House
from tests.proofs import PROOFS, tell
from tests.rush import Acknowledged

DAMAGE = {
    "no slot has two live consultations": """
        insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time)
        select made.id, id_time(made.id), patient_id, doctor_id, slot_id, meeting_link, start_time, end_time
          from consultations, (select id_at(now()) as id) made where status = 'PENDING'
         limit 1
    """,
    "a live consultation has its booked slot, and a booked slot its live consultation": """
        update availability_slots set status = 'AVAILABLE', consultation_id = null, patient_n = null
         where status = 'BOOKED'
    """,
    "nobody is in two places at once": """
        update consultations set patient_id = (select id from patients order by id limit 1),
               start_time = now() + interval '2 days', end_time = now() + interval '3 days'
         where status = 'PENDING'
    """,
    "nobody was told of one booking twice": "insert into told select * from told limit 1",
    "what was acknowledged is there": "update told set slot_id = gen_random_uuid()",
    "and nothing else is": "delete from told",
    "each is as its patient left it": "update consultations set confirmed_at = null",
    "each booking is kept under its key": "delete from idempotency_keys",
    "every event is relayed": "update outbox set relayed_at = null",
    "every step of every event is done": "delete from deliveries where step = 'booking_payment.schedule_reminders'",
    "one payment a consultation, of the doctor's fee": "update payments set amount_minor = amount_minor + 1",
    "one order a payment": "update payments set provider_order = null",
    "the ledger's balance is what was paid and not given back": "delete from payment_entries where kind = 'refunded'",
    "every entry is of the whole amount": "update payment_entries set amount_minor = amount_minor + 1",
    "every return is made": "update payment_refunds set done_at = null",
    "each confirmation, cancellation and return is written of once, and the letter left": """
        delete from notifications where cause like 'refunded:%'
    """,
    "no letter waits, and none was written for nothing": "update notifications set state = 'queued'",
    "whoever comes is reminded a day, an hour and ten minutes ahead": "delete from reminders where kind = '1h'",
    "and nobody else": "update reminders set sent_at = now()",
    "rooms count without a gap": "delete from room_events where number = 2",
    "each change of a consultation is in the trail, and once": """
        delete from audit_logs where table_name = 'consultations' and action = 'insert'
    """,
}


async def broken(conn: asyncpg.Connection[asyncpg.Record], since: datetime) -> set[str]:
    """The proofs that do not hold."""
    return {
        proof
        for proof, sql in PROOFS.items()
        if await conn.fetchrow(sql, *([since] if "$1" in sql else [])) is not None
    }


async def told_of(house: House, cast: Cast) -> list[Acknowledged]:
    """One free consultation, one paid, one paid and given back, one not paid; when all that follows is done."""
    free = await cast.slots_of(cast.dr_rao, 1, from_hours=26)
    paid, back, unpaid = await cast.slots_of(cast.dr_sen, 3, from_hours=50)
    told: list[Acknowledged] = []
    for client, slot in ((0, free[0]), (0, paid), (0, back), (1, unpaid)):
        booked = (await (cast.asha, cast.vik)[client].post("/consultations", slot_id=slot["id"])).json
        told.append(Acknowledged(booked["id"], slot["id"], client, booked["payment"]["amount"]))
        if slot in (paid, back):
            await cast.pay(booked)
            await house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked["id"])
            told[-1].paid = True
        if slot is back:
            assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
            told[-1].fate = "cancelled"
    await house.until("select 1 from notifications where cause like 'refunded:%' and state = 'sent'")
    await house.until(
        "select 1 where not exists (select from deliveries where done_at is null)"
        " and not exists (select from outbox where relayed_at is null)"
    )
    return told


async def test_where_all_is_well_every_proof_holds_and_each_finds_its_damage(house: House, cast: Cast) -> None:
    since: datetime = await house.value("select now()")
    told = await told_of(house, cast)
    conn = await asyncpg.connect(house.owner_url)
    try:
        await tell(conn, told, [cast.asha.me["patient_id"], cast.vik.me["patient_id"]])
        assert await broken(conn, since) == set()
        await conn.execute("set session_replication_role = replica")  # no foreign key and no trigger is in the way
        assert DAMAGE.keys() == PROOFS.keys()
        for proof, damage in DAMAGE.items():
            harm = conn.transaction()
            await harm.start()
            await conn.execute(damage)
            assert proof in await broken(conn, since), proof
            await harm.rollback()
        assert await broken(conn, since) == set()
    finally:
        await conn.close()
