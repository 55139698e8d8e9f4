-- The bookings of one moment are written by one statement, whoever's they are. So who acted is found row by row, and the
-- trail is written once a statement, not once a row; what it says of a row is what it said before.

-- Who acted on a row: by the id of its consultation or its own where `acts` has it, otherwise whoever `act` names.
create function act_of(acts jsonb, act text, changed jsonb) returns text[]
    language sql immutable parallel safe
    return string_to_array(coalesce(acts ->> (changed ->> 'consultation_id'), acts ->> (changed ->> 'id'), act), '|', '');

-- What id_at() makes, as an expression that the planner takes apart: a call for each row of the trail costs more than its
-- insert. `milliseconds` since 1970.
create function entry_id(milliseconds bigint) returns uuid
    language sql volatile parallel safe
    return encode(
        set_bit(
            set_bit(
                overlay(uuid_send(gen_random_uuid()) placing substring(int8send(milliseconds) from 3) from 1 for 6),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid;

-- As audited() does for a row, for all rows of a statement. The argument names the table.
create function audited_rows() returns trigger
    language plpgsql
as $$
declare
    act text := coalesce(current_setting('amrutam.tx', true), '');
    acts jsonb := nullif(current_setting('amrutam.acts', true), '')::jsonb;
begin
    if tg_op = 'INSERT' then
        insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                                row_id, patient_id, after_hash)
        select entry_id(floor(extract(epoch from moment) * 1000)::bigint), date_trunc('milliseconds', moment),
               by[1]::uuid, by[2], coalesce(by[4], 'database'), by[3], 'insert', tg_argv[0],
               (made ->> 'id')::uuid, (made ->> case tg_argv[0] when 'patients' then 'id' else 'patient_id' end)::uuid,
               after_hash
          from (select coalesce(by[5]::timestamptz, clock_timestamp()) as moment, r.*
                  from (select act_of(acts, act, to_jsonb(n)) as by, to_jsonb(n) as made,
                               sha256(convert_to(n::text, 'UTF8')) as after_hash
                          from is_now n offset 0) r offset 0) e;
    elsif tg_op = 'UPDATE' then
        insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                                row_id, patient_id, changed, before_hash, after_hash)
        select entry_id(floor(extract(epoch from moment) * 1000)::bigint), date_trunc('milliseconds', moment),
               by[1]::uuid, by[2], coalesce(by[4], 'database'), by[3], 'update', tg_argv[0],
               (made ->> 'id')::uuid, (made ->> case tg_argv[0] when 'patients' then 'id' else 'patient_id' end)::uuid,
               fields, before_hash, after_hash
          from (select coalesce(by[5]::timestamptz, clock_timestamp()) as moment, r.*
                  from (select act_of(acts, act, c.made) as by, c.made, c.before_hash, c.after_hash,
                               (select array_agg(f.key order by f.key)
                                  from jsonb_each(c.made) f where f.value is distinct from c.had -> f.key) as fields
                          from (select to_jsonb(n) as made, to_jsonb(w) as had,
                                       sha256(convert_to(w::text, 'UTF8')) as before_hash,
                                       sha256(convert_to(n::text, 'UTF8')) as after_hash
                                  from is_now n join was w on w.id = n.id offset 0) c offset 0) r
                 where fields is not null offset 0) e;
    else
        insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                                row_id, patient_id, before_hash)
        select entry_id(floor(extract(epoch from moment) * 1000)::bigint), date_trunc('milliseconds', moment),
               by[1]::uuid, by[2], coalesce(by[4], 'database'), by[3], 'delete', tg_argv[0],
               (had ->> 'id')::uuid, (had ->> case tg_argv[0] when 'patients' then 'id' else 'patient_id' end)::uuid,
               before_hash
          from (select coalesce(by[5]::timestamptz, clock_timestamp()) as moment, r.*
                  from (select act_of(acts, act, to_jsonb(w)) as by, to_jsonb(w) as had,
                               sha256(convert_to(w::text, 'UTF8')) as before_hash
                          from was w offset 0) r offset 0) e;
    end if;
    return null;
end
$$;

-- Where whole statements are the rule: what a booking writes, and the slots that are made by the hundred. A trigger of a
-- partitioned table sees what is written through it; nobody but the owner can write to a partition itself.
do $$
declare
    name text;
begin
    foreach name in array array['availability_slots', 'consultations', 'payments', 'payment_entries', 'consents'] loop
        execute format('drop trigger audited on %I', name);
        execute format(
            'create trigger audited after insert on %I referencing new table as is_now
             for each statement execute function audited_rows(%L)', name, name);
        execute format(
            'create trigger audited_update after update on %I referencing old table as was new table as is_now
             for each statement execute function audited_rows(%L)', name, name);
        execute format(
            'create trigger audited_delete after delete on %I referencing old table as was
             for each statement execute function audited_rows(%L)', name, name);
    end loop;
end
$$;

-- How many consultations a patient has booked since then; whose hold ran out unpaid count not. The patient's other
-- bookings wait until this transaction ends, and what they had done before is counted: each statement in here sees what
-- is committed when it begins.
create function booked_since(of uuid, moment timestamptz) returns bigint
    language plpgsql volatile
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('bookings|' || of, 0));
    return (
        select count(*) from consultations c
         where c.patient_id = of and c.created_at >= moment and c.ended_as is distinct from 'unpaid'
    );
end
$$;
