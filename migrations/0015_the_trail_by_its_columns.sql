-- The trail of the tables that bookings write was the dearest part of a booking's transaction: each row became JSON to be
-- taken apart again, and a strong random number went into each id. Now each of these tables has a function made for its
-- columns. What it says of a row is what was said before.

-- An id of the trail: a UUIDv7 of the moment, its milliseconds, version and variant in front of 65 random bits. It is no
-- secret, so that these may be cheap ones.
create function entry_id(moment timestamptz) returns uuid
    language sql volatile parallel safe
    return (
        lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0')
        || to_hex(x'7000'::int + floor(random() * power(2, 12))::int)
        || to_hex(x'8000000000000000'::bigint + floor(random() * power(2, 62))::bigint)
    )::uuid;

-- Keeps the trail of a table, once a statement. To be called again when the table gets or loses a column.
-- Who acted on a row is found by the id of its consultation or its own in `amrutam.acts`, where callers share a statement;
-- otherwise it is whoever `amrutam.tx` names: actor | role | request | source | now.
create procedure keep_trail_by_statement(kept regclass)
    language plpgsql
as $make$
declare
    named text := kept::text;
    columns text[] := array(
        select attname::text from pg_attribute
         where attrelid = kept and attnum > 0 and not attisdropped order by attname
    );
    differing text := (
        select string_agg(format('case when r.%1$I is distinct from w.%1$I then %1$L end', c), ', ') from unnest(columns) c
    );
    consultation text := case when 'consultation_id' = any(columns) then 'acts ->> r.consultation_id::text,' else '' end;
    patient text := case when named = 'patients' then 'r.id'
                         when 'patient_id' = any(columns) then 'r.patient_id'
                         else 'null::uuid' end;
    entry text := $entry$
        insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                                row_id, patient_id, changed, before_hash, after_hash)
        select entry_id(moment), date_trunc('milliseconds', moment), by[1]::uuid, by[2], coalesce(by[4], 'database'),
               by[3], lower(tg_op), %1$L, id, patient_id, changed, before_hash, after_hash
          from (select e.*, coalesce(by[5]::timestamptz, clock_timestamp()) as moment
                  from (select r.id, %2$s as patient_id, %4$s as changed,
                               string_to_array(coalesce(%3$s acts ->> r.id::text, act), '|', '') as by,
                               %5$s as before_hash, %6$s as after_hash
                          from %7$s offset 0) e
                 where changed is not null offset 0) e;$entry$;
    digest text := $$sha256(convert_to(%s::text, 'UTF8'))$$;
begin
    execute format(
        $function$
create or replace function %1$I() returns trigger
    language plpgsql
as $body$
declare
    act text := coalesce(current_setting('amrutam.tx', true), '');
    acts jsonb := nullif(current_setting('amrutam.acts', true), '')::jsonb;
begin
    if tg_op = 'INSERT' then %2$s
    elsif tg_op = 'UPDATE' then %3$s
    else %4$s
    end if;
    return null;
end
$body$ $function$,
        'audited_' || named,
        format(entry, named, patient, consultation, $$'{}'::text[]$$, 'null::bytea', format(digest, 'r'), 'is_now r'),
        format(entry, named, patient, consultation,
               format($$nullif(array_remove(array[%s]::text[], null), '{}')$$, differing),
               format(digest, 'w'), format(digest, 'r'), 'is_now r join was w on w.id = r.id'),
        format(entry, named, patient, consultation, $$'{}'::text[]$$, format(digest, 'r'), 'null::bytea', 'was r')
    );
    execute format(
        $triggers$
create or replace trigger audited after insert on %1$I referencing new table as is_now
    for each statement execute function %2$I();
create or replace trigger audited_update after update on %1$I referencing old table as was new table as is_now
    for each statement execute function %2$I();
create or replace trigger audited_delete after delete on %1$I referencing old table as was
    for each statement execute function %2$I() $triggers$,
        named, 'audited_' || named
    );
end
$make$;

do $$
declare
    name text;
begin
    foreach name in array array['availability_slots', 'consultations', 'payments', 'payment_entries', 'consents'] loop
        call keep_trail_by_statement(name::regclass);
    end loop;
end
$$;
drop function audited_rows();
drop function act_of(jsonb, text, jsonb);
drop function entry_id(bigint);
