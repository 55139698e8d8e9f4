"""What must be true of a clinic's database once everything has settled, as SQL: each proof finds what breaks it.

`told` holds what patients were told of their bookings; everything else is what the clinic wrote.
"""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from tests.rush import Acknowledged

TOLD = """
    create table told (
        id uuid not null, slot_id uuid not null, patient_id uuid not null, amount bigint not null,
        paid boolean not null, fate text not null
    )
"""
TELL = """
    insert into told
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::boolean[], $6::text[])
"""

PROOFS = {
    "no slot has two live consultations": """
        select slot_id from consultations where status <> 'CANCELLED' group by slot_id having count(*) > 1
    """,
    "a live consultation has its booked slot, and a booked slot its live consultation": """
        select c.id, s.id as slot_id
          from (select * from consultations where status in ('PENDING', 'ACTIVE')) c
          full join (
              select s.id, s.consultation_id, p.id as patient_id
                from availability_slots s left join patients p on p.n = s.patient_n
               where s.status = 'BOOKED'
          ) s on s.consultation_id = c.id and s.id = c.slot_id and s.patient_id = c.patient_id
         where c.id is null or s.id is null
    """,
    "nobody is in two places at once": """
        select a.id, b.id as other
          from consultations a
          join consultations b on b.patient_id = a.patient_id and b.id > a.id
                              and b.start_time < a.end_time and a.start_time < b.end_time
         where a.status <> 'CANCELLED' and b.status <> 'CANCELLED'
    """,
    "nobody was told of one booking twice": "select id from told group by id having count(*) > 1",
    "what was acknowledged is there": """
        select t.id
          from told t
          left join consultations c on c.id = t.id and c.slot_id = t.slot_id and c.patient_id = t.patient_id
         where c.id is null
    """,
    "and nothing else is": """
        select c.id from consultations c where not exists (select from told t where t.id = c.id)
    """,
    "each is as its patient left it": """
        select t.id, c.status, c.ended_as, c.confirmed_at
          from told t join consultations c on c.id = t.id
         where case when t.fate = 'cancelled' then (c.status, c.ended_as) <> ('CANCELLED', 'cancelled_by_patient')
                    else c.status <> 'PENDING' or (c.confirmed_at is not null) <> (t.paid or t.amount = 0) end
    """,
    "each booking is kept under its key": """
        select t.patient_id
          from told t join patients p on p.id = t.patient_id
         group by t.patient_id, p.user_id
        having count(*) <> (select count(*) from idempotency_keys k
                             where k.owner = p.user_id::text and k.route = 'POST /consultations' and k.status = 201)
    """,
    "every event is relayed": "select id from outbox where relayed_at is null",
    "every step of every event is done": """
        select o.id, o.name, s.step, d.tries, d.error, d.parked_at
          from outbox o
          join steps s on s.event = o.name
          left join deliveries d on d.event_id = o.id and d.step = s.step
         where o.created_at >= $1 and d.done_at is null
    """,
    "one payment a consultation, of the doctor's fee": """
        select t.id
          from told t left join payments p on p.consultation_id = t.id
         group by t.id, t.amount having count(p.id) <> 1 or min(p.amount_minor) <> t.amount
    """,
    "one order a payment": """
        select p.id
          from payments p left join payment_orders o on o.payment_id = p.id
         where p.amount_minor > 0
         group by p.id, p.provider_order having p.provider_order is null or count(o.payment_id) > 1
    """,
    "the ledger's balance is what was paid and not given back": """
        select p.id, p.status, sum(e.amount_minor) filter (where e.kind = 'captured') as captured,
               sum(e.amount_minor) filter (where e.kind = 'refunded') as refunded
          from told t join payments p on p.consultation_id = t.id left join payment_entries e on e.payment_id = p.id
         group by p.id, t.amount, t.paid, t.fate
        having coalesce(sum(e.amount_minor * case e.kind when 'captured' then 1 when 'refunded' then -1 else 0 end), 0)
               <> case when t.paid and t.fate = 'booked' then t.amount else 0 end
            or p.status <> case when t.fate = 'booked' then case when t.paid or t.amount = 0 then 'captured'
                                                                 else 'pending' end
                                when t.paid then 'refunded'
                                when t.amount > 0 then 'expired'
                                else p.status end
    """,
    "every entry is of the whole amount": """
        select e.id from payment_entries e join payments p on p.id = e.payment_id where e.amount_minor <> p.amount_minor
    """,
    "every return is made": "select id from payment_refunds where done_at is null",
    "each confirmation, cancellation and return is written of once, and the letter left": """
        select wanted.cause, count(n.id) as letters
          from (
              -- Nothing invites to what has ended while the letter waited to be written.
              select 'confirmed:' || id || ':mail' as cause, (status <> 'CANCELLED')::int as least, 1 as most
                from consultations where confirmed_at is not null
              union all
              select 'cancelled:' || id || ':mail', 1, 1 from consultations where status = 'CANCELLED'
              union all
              select 'refunded:' || p.id, count(e.id), count(e.id)
                from payments p
                left join payment_entries e on e.payment_id = p.id and e.kind = 'refunded' and e.amount_minor > 0
               where p.amount_minor > 0
               group by p.id
          ) wanted
          left join notifications n on n.state = 'sent' and n.channel = 'mail'
               -- A return's cause ends with its moment.
               and case when n.cause like 'refunded:%' then 'refunded:' || split_part(n.cause, ':', 2) else n.cause end
                 = wanted.cause
         group by wanted.cause, wanted.least, wanted.most
        having count(n.id) not between wanted.least and wanted.most
    """,
    "no letter waits, and none was written for nothing": """
        select n.id, n.cause, n.state from notifications n where n.created_at >= $1 and n.state <> 'sent'
        union all
        select n.id, n.cause, n.state from notifications n
         where n.cause like 'confirmed:%'
           and not exists (select from consultations c
                            where c.id::text = split_part(n.cause, ':', 2) and c.confirmed_at is not null)
    """,
    "whoever comes is reminded a day, an hour and ten minutes ahead": """
        select c.id, array_agg(r.kind)
          from consultations c
          left join reminders r on r.consultation_id = c.id and r.sent_at is null and r.dropped_at is null
               and r.due_at = c.start_time - case r.kind when '24h' then interval '24 hours'
                                                         when '1h' then interval '1 hour'
                                                         else interval '10 minutes' end
         where c.status = 'PENDING' and c.confirmed_at is not null
         group by c.id having count(r.id) <> 3
    """,
    "and nobody else": """
        select r.id
          from reminders r join consultations c on c.id = r.consultation_id
         where r.sent_at is not null or c.confirmed_at is null
    """,
    "rooms count without a gap": """
        select r.name, r.seq, min(e.number), max(e.number), count(e.number)
          from rooms r left join room_events e on e.room = r.name
         group by r.name, r.seq
        having count(e.number) < least(r.seq, 1000) or max(e.number) <> r.seq
            or count(e.number) <> max(e.number) - min(e.number) + 1
    """,
    "each change of a consultation is in the trail, and once": """
        select c.id
          from consultations c
          left join audit_logs a on a.row_id = c.id and a.table_name = 'consultations'
         group by c.id, c.confirmed_at, c.created_at, c.status
        having count(*) filter (where a.action = 'insert') <> 1
            or count(*) filter (where a.action = 'update' and 'status' = any(a.changed))
               <> (c.status = 'CANCELLED')::int
    """,
}
"""$1 is when the bookings began."""


async def tell(conn: asyncpg.Connection[asyncpg.Record], told: Iterable[Acknowledged], patients: list[str]) -> None:
    """Write down what the patients were told; `patients` are their ids, by number."""
    all_ = list(told)
    await conn.execute(TOLD)
    await conn.execute(
        TELL,
        [one.id for one in all_],
        [one.slot_id for one in all_],
        [patients[one.client] for one in all_],
        [one.amount for one in all_],
        [one.paid for one in all_],
        [one.fate for one in all_],
    )


__all__ = ["PROOFS", "tell"]
