-- What every table stands on: the time inside an id, the audit trail, partitions by month.

-- The millisecond that a UUIDv7 was made at. Immutable, so CHECKs and generated columns may lean on it. PL/pgSQL keeps
-- its plan for the session; a SQL function is planned anew for each CHECK and column of each statement.
create function id_time(id uuid) returns timestamptz
    language plpgsql immutable strict parallel safe
as $$
begin
    return to_timestamp(('x' || substr(translate(id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0::float8);
end
$$;

-- The time of the transaction as the application read it (a moved clock moves the trail with it).
create function act_time() returns timestamptz
    language plpgsql stable parallel safe
as $$
begin
    return coalesce(nullif(split_part(current_setting('amrutam.tx', true), '|', 5), '')::timestamptz, clock_timestamp());
end
$$;

-- A UUIDv7 of a given moment (RFC 9562 section 5.7). uuidv7() exists from PostgreSQL 18 on only.
create function id_at(moment timestamptz) returns uuid
    language plpgsql volatile parallel safe
as $$
begin
    return encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    placing substring(int8send(floor(extract(epoch from moment) * 1000)::bigint) from 3) from 1 for 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid;
end
$$;

-- Who did what, by month. Rows hold which fields changed and digests of the stored (sealed) row, never what they say.
create table audit_logs (
    id uuid not null,
    created_at timestamptz not null,
    actor_id uuid,
    actor_role text,
    source text not null default 'database',
    request_id text,
    action text not null check (action in ('insert', 'update', 'delete', 'read', 'refused', 'note')),
    table_name text not null,
    row_id uuid,
    patient_id uuid,
    changed text[] not null default '{}',
    before_hash bytea,
    after_hash bytea,
    reason text,
    outcome text not null default 'done',
    tx xid8 not null default pg_current_xact_id(),
    primary key (id, created_at),
    constraint audit_logs_created_at_is_the_ids check (created_at = id_time(id))
) partition by range (created_at);
create index audit_logs_by_patient on audit_logs (patient_id, created_at) where patient_id is not null;
create index audit_logs_by_row on audit_logs (row_id, created_at);
create table audit_logs_default partition of audit_logs default;

-- Every state change of a domain table leaves its row here, in the same transaction.
-- The argument names the table, since the trigger of a partition sees the partition.
create function audited() returns trigger
    language plpgsql
as $$
declare
    was jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    is_now jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    either jsonb := coalesce(is_now, was);
    fields text[] := '{}';
    -- actor | role | request | source | now, as the application set it for this transaction; '' on a reused connection.
    act text[] := string_to_array(coalesce(current_setting('amrutam.tx', true), ''), '|', '');
    entry uuid := id_at(coalesce(act[5]::timestamptz, clock_timestamp()));
begin
    if tg_op = 'UPDATE' then
        select coalesce(array_agg(n.key order by n.key), '{}') into fields
          from jsonb_each(is_now) n
         where n.value is distinct from was -> n.key;
        if fields = '{}' then
            return null;
        end if;
    end if;
    insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                            row_id, patient_id, changed, before_hash, after_hash)
    values (
        entry,
        id_time(entry),
        act[1]::uuid,
        act[2],
        coalesce(act[4], 'database'),
        act[3],
        lower(tg_op),
        tg_argv[0],
        (either ->> 'id')::uuid,
        case when tg_argv[0] = 'patients' then either ->> 'id' else either ->> 'patient_id' end::uuid,
        fields,
        case when tg_op <> 'INSERT' then sha256(convert_to(old::text, 'UTF8')) end,
        case when tg_op <> 'DELETE' then sha256(convert_to(new::text, 'UTF8')) end
    );
    return null;
end
$$;

-- Makes the monthly partitions that are missing from `first` on. Runs as the owner of the tables, so that the
-- application, which owns nothing, can ask for months and for nothing else. Returns how many were made.
create function make_partitions(first date, months int) returns int
    language plpgsql security definer set search_path = pg_catalog, public
as $$
declare
    parent text;
    month date;
    part text;
    made int := 0;
begin
    if months not between 1 and 36 then
        raise exception 'between 1 and 36 months, not %', months using errcode = '22023';
    end if;
    perform pg_advisory_xact_lock(hashtext('amrutam partitions'));
    foreach parent in array array['audit_logs', 'consultations'] loop
        for step in 0 .. months - 1 loop
            month := (date_trunc('month', first::timestamp) + make_interval(months => step))::date;
            part := parent || to_char(month, '_YYYY_MM');
            if to_regclass('public.' || part) is null then
                execute format(
                    'create table public.%I partition of public.%I for values from (%L) to (%L)',
                    part, parent,
                    month::timestamp at time zone 'UTC',
                    (month + interval '1 month')::timestamp at time zone 'UTC'
                );
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end
$$;
revoke all on function make_partitions(date, int) from public;
grant execute on function make_partitions(date, int) to amrutam_app;
grant select, insert on audit_logs to amrutam_app;

-- One data key an owner (a patient's for class 4, a user's for class 3, one for the system), wrapped by the
-- key-encryption key. Destroying the row's key erases what it sealed.
create table data_keys (
    owner_id uuid primary key,
    wrapped bytea,
    wrapped_by text not null,
    created_at timestamptz not null,
    destroyed_at timestamptz,
    constraint data_keys_gone_or_there check ((destroyed_at is null) = (wrapped is not null))
);
grant select, insert, update on data_keys to amrutam_app;

-- Plumbing: exempt from the audit trail.
create table outbox (
    id uuid primary key,
    name text not null,
    payload bytea not null,
    actor_id uuid,
    request_id text,
    created_at timestamptz not null,
    relayed_at timestamptz
);
create index outbox_unrelayed on outbox (created_at) where relayed_at is null;

-- Which steps hear which event: written by every worker at its start, read by the relay.
create table steps (
    event text not null,
    step text not null,
    seen_at timestamptz not null,
    primary key (event, step)
);

create table deliveries (
    event_id uuid not null references outbox (id),
    step text not null,
    tries int not null default 0,
    due_at timestamptz not null,
    sent_at timestamptz,
    done_at timestamptz,
    parked_at timestamptz,
    error text,
    primary key (event_id, step)
);
create index deliveries_due on deliveries (due_at) where done_at is null and parked_at is null;
create index deliveries_parked on deliveries (parked_at) where parked_at is not null;

create table rooms (
    name text primary key,
    seq bigint not null
);
create table room_events (
    room text not null,
    number bigint not null,
    event_id uuid not null,
    type text not null,
    data bytea not null,
    at timestamptz not null,
    primary key (room, number)
);
create index room_events_by_age on room_events (at);

create table idempotency_keys (
    owner text not null,
    route text not null,
    key text not null,
    body_hash bytea not null,
    status int not null,
    reply bytea not null,
    created_at timestamptz not null,
    primary key (owner, route, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
grant select, insert, update, delete
    on outbox, steps, deliveries, rooms, room_events, idempotency_keys to amrutam_app;
