-- One booking as SQL alone, in the round trips of the real one: settings, the folded statement, the flush, commit.
-- What the server adds is everything else: HTTP, session, limits, checks, encryption, the Redis lock, publishing.
begin;
select set_config('amrutam.tx', '|PATIENT||rest|' || clock_timestamp()::text, true);
with wanted as (
    select b.slot_id, b.patient_id, b.patient_n, uuidv7() as consultation_id
      from bench_bookings b where b.n = (select nextval('bench_next'))
), taken as (
    update availability_slots s
       set status = 'BOOKED', consultation_id = w.consultation_id, patient_n = w.patient_n, version = version + 1
      from wanted w
     where s.id = w.slot_id and s.status = 'AVAILABLE' and s.start_time > clock_timestamp()
    returning s.*, w.patient_id
), made as (
    insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time)
    select consultation_id, id_time(consultation_id), patient_id, doctor_id, id,
           '/consultations/' || consultation_id, start_time, end_time
      from taken
), paid as (
    insert into payments (id, consultation_id, patient_id, amount_minor, currency, provider, expires_at, created_at)
    select uuidv7(), consultation_id, patient_id, fee_minor, currency, 'sandbox',
           clock_timestamp() + interval '15 minutes', clock_timestamp()
      from taken
)
select consultation_id, doctor_id, patient_id from taken
\gset
with posted as (
    insert into outbox (id, name, payload, created_at)
    select uuidv7(), name, decode(repeat('5a', 200), 'hex'), clock_timestamp()
      from unnest(array['consultation.booked', 'slot.changed', 'queue.changed']) as e (name)
), numbered as (
    insert into rooms (name, seq)
    select room, 1
      from unnest(array['consultation:' || :consultation_id::text, 'queue:' || :doctor_id::text,
                        'slots:' || :doctor_id::text]) as wanted (room)
     order by room
    on conflict (name) do update set seq = rooms.seq + excluded.seq
    returning name, seq
), logged as (
    insert into room_events (room, number, event_id, type, data, at)
    select name, seq, uuidv7(), 'slot.changed', decode(repeat('5a', 300), 'hex'), clock_timestamp()
      from numbered
), kept as (
    insert into idempotency_keys (owner, route, key, body_hash, status, reply, created_at)
    values (:patient_id::text, 'POST /consultations', :consultation_id::text, decode(repeat('5a', 32), 'hex'), 201,
            decode(repeat('5a', 600), 'hex'), clock_timestamp())
)
select count(*) from numbered;
commit;
