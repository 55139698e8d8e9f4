-- The calendar and the meeting. What must be unique stands on the slot, which is not partitioned.

create table weekly_hours (
    id uuid primary key,
    doctor_id uuid not null references doctors (id),
    weekday int not null check (weekday between 1 and 7),
    from_minute int not null check (from_minute between 0 and 1439),
    to_minute int not null check (to_minute between 1 and 2879),
    constraint weekly_hours_end_after_they_begin check (to_minute > from_minute)
);
create index weekly_hours_of_a_doctor on weekly_hours (doctor_id);

create table leave (
    id uuid primary key,
    doctor_id uuid not null references doctors (id),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    created_at timestamptz not null,
    constraint leave_ends_after_it_begins check (ends_at > starts_at)
);
create index leave_of_a_doctor on leave (doctor_id, ends_at);

-- Partitioned by the month of its id. Look-ups are by id and created_at, which the id tells.
create table consultations (
    id uuid not null,
    created_at timestamptz not null,
    patient_id uuid not null references patients (id),
    doctor_id uuid not null references doctors (id),
    slot_id uuid not null,
    status text not null default 'PENDING' check (status in ('PENDING', 'ACTIVE', 'COMPLETED', 'CANCELLED')),
    meeting_link text not null,
    start_time timestamptz not null,
    end_time timestamptz not null,
    reason bytea,
    confirmed_at timestamptz,
    checked_in_at timestamptz,
    called_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    ended_as text check (ended_as in ('completed', 'no_show', 'cancelled_by_patient', 'cancelled_by_doctor',
                                      'cancelled_by_admin', 'unpaid')),
    calendar_sequence int not null default 0,
    primary key (id, created_at),
    constraint consultations_created_at_is_the_ids check (created_at = id_time(id)),
    constraint consultations_check_in_needs_confirmation check (checked_in_at is null or confirmed_at is not null),
    constraint consultations_ended_says_how check ((ended_at is null) = (ended_as is null)),
    constraint consultations_over_when_ended check ((status in ('COMPLETED', 'CANCELLED')) = (ended_at is not null))
) partition by range (created_at);
create index consultations_of_a_patient on consultations (patient_id, start_time);
create index consultations_of_a_doctor on consultations (doctor_id, start_time);
create table consultations_default partition of consultations default;

create table availability_slots (
    id uuid primary key,
    doctor_id uuid not null references doctors (id),
    doctor_n int not null,
    start_time timestamptz not null,
    end_time timestamptz not null,
    status text not null default 'AVAILABLE' check (status in ('AVAILABLE', 'BOOKED')),
    consultation_id uuid unique,
    consultation_created_at timestamptz generated always as (id_time(consultation_id)) stored,
    patient_n int,
    fee_minor bigint not null check (fee_minor >= 0),
    currency text not null,
    version int not null default 1,
    -- Seconds since 1970: subtraction of a constant is immutable, extract(epoch from timestamptz) is not.
    during int8range not null generated always as (
        int8range(
            extract(epoch from (start_time - timestamptz '1970-01-01 00:00:00+00'))::bigint,
            extract(epoch from (end_time - timestamptz '1970-01-01 00:00:00+00'))::bigint
        )
    ) stored,
    constraint slots_end_after_they_begin check (end_time > start_time),
    constraint slots_booked_by_someone check ((status = 'BOOKED') = (consultation_id is not null)),
    constraint slots_booked_has_its_patient check ((consultation_id is null) = (patient_n is null)),
    constraint slots_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at),
    -- gist knows ranges without an extension: a number is the range of itself.
    constraint slots_of_a_doctor_never_overlap
        exclude using gist (int8range(doctor_n, doctor_n, '[]') with =, during with &&),
    constraint patient_in_one_place_at_a_time
        exclude using gist (int8range(patient_n, patient_n, '[]') with =, during with &&) where (patient_n is not null)
);
create index slots_of_a_doctor on availability_slots (doctor_id, start_time);
create index slots_free on availability_slots (start_time) where status = 'AVAILABLE';

create table waitlist (
    id uuid primary key,
    patient_id uuid not null references patients (id),
    doctor_id uuid not null references doctors (id),
    wanted_from timestamptz not null,
    wanted_to timestamptz not null,
    offered_slot_id uuid,
    offered_until timestamptz,
    closed_at timestamptz,
    created_at timestamptz not null,
    constraint waitlist_window check (wanted_to > wanted_from)
);
create index waitlist_open on waitlist (doctor_id, created_at) where closed_at is null;

create table payments (
    id uuid primary key,
    consultation_id uuid not null unique,
    consultation_created_at timestamptz not null generated always as (id_time(consultation_id)) stored,
    patient_id uuid not null references patients (id),
    amount_minor bigint not null check (amount_minor >= 0),
    currency text not null,
    status text not null default 'pending'
        check (status in ('pending', 'authorised', 'captured', 'failed', 'expired', 'refunded')),
    provider text not null,
    provider_order text,
    expires_at timestamptz,
    created_at timestamptz not null,
    constraint payments_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at)
);
create index payments_to_expire on payments (expires_at) where status in ('pending', 'authorised', 'failed');

-- The ledger: entries are added, never changed. What a payment is worth is their balance.
create table payment_entries (
    id uuid primary key,
    payment_id uuid not null references payments (id),
    kind text not null check (kind in ('authorised', 'captured', 'refunded', 'failed')),
    amount_minor bigint not null check (amount_minor >= 0),
    provider text not null,
    provider_payment text not null,
    created_at timestamptz not null,
    unique (provider, provider_payment, kind)
);
create index payment_entries_of_a_payment on payment_entries (payment_id);

-- Stored in the transaction of its effect: a retry after our own failure is no duplicate.
create table payment_webhooks (
    id uuid primary key,
    provider text not null,
    provider_event text not null,
    type text not null,
    body_hash bytea not null,
    received_at timestamptz not null,
    unique (provider, provider_event)
);

create table messages (
    id uuid primary key,
    consultation_id uuid not null,
    consultation_created_at timestamptz not null generated always as (id_time(consultation_id)) stored,
    patient_id uuid not null references patients (id),
    number int not null check (number > 0),
    sender_id uuid not null references users (id),
    sender_role text not null check (sender_role in ('DOCTOR', 'PATIENT')),
    client_id text not null,
    body bytea not null,
    attachment_id uuid,
    created_at timestamptz not null,
    unique (consultation_id, number),
    unique (consultation_id, sender_id, client_id),
    constraint messages_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at)
);
create table chat_marks (
    consultation_id uuid not null,
    user_id uuid not null references users (id),
    read_number int not null,
    read_at timestamptz not null,
    primary key (consultation_id, user_id)
);

create table notes (
    id uuid primary key,
    consultation_id uuid not null,
    consultation_created_at timestamptz not null generated always as (id_time(consultation_id)) stored,
    patient_id uuid not null references patients (id),
    author_id uuid not null references users (id),
    body bytea not null,
    created_at timestamptz not null,
    constraint notes_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at)
);
create index notes_of_a_consultation on notes (consultation_id);

create table attachments (
    id uuid primary key,
    consultation_id uuid not null,
    consultation_created_at timestamptz not null generated always as (id_time(consultation_id)) stored,
    patient_id uuid not null references patients (id),
    uploaded_by uuid not null references users (id),
    name bytea not null,
    content_type text not null,
    size_bytes int not null check (size_bytes > 0),
    object_name text not null unique,
    state text not null default 'pending' check (state in ('pending', 'clean', 'blocked')),
    created_at timestamptz not null,
    constraint attachments_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at)
);
create index attachments_of_a_consultation on attachments (consultation_id);

create table prescriptions (
    id uuid primary key,
    consultation_id uuid not null,
    consultation_created_at timestamptz not null generated always as (id_time(consultation_id)) stored,
    patient_id uuid not null references patients (id),
    doctor_id uuid not null references doctors (id),
    body bytea not null,
    code text not null unique,
    created_at timestamptz not null,
    constraint prescriptions_consultation foreign key (consultation_id, consultation_created_at)
        references consultations (id, created_at)
);
create index prescriptions_of_a_consultation on prescriptions (consultation_id);
create index prescriptions_of_a_patient on prescriptions (patient_id, created_at);

create table consents (
    id uuid primary key,
    patient_id uuid not null references patients (id),
    purpose text not null,
    text_version text not null,
    language text not null,
    channel text not null,
    given_at timestamptz not null,
    withdrawn_at timestamptz
);
create unique index consents_one_open_each on consents (patient_id, purpose) where withdrawn_at is null;
create index consents_of_a_patient on consents (patient_id, purpose);

create table reminders (
    id uuid primary key,
    consultation_id uuid not null,
    patient_id uuid not null references patients (id),
    kind text not null check (kind in ('24h', '1h', '10min')),
    due_at timestamptz not null,
    sent_at timestamptz,
    dropped_at timestamptz,
    unique (consultation_id, kind)
);
create index reminders_due on reminders (due_at) where sent_at is null and dropped_at is null;

-- One message a cause: `cause` is the event and the step, or the reminder, that asked for it.
create table notifications (
    id uuid primary key,
    user_id uuid not null references users (id),
    channel text not null check (channel in ('mail', 'sms')),
    cause text not null unique,
    content bytea not null,
    state text not null default 'queued' check (state in ('queued', 'sent', 'failed')),
    sent_at timestamptz,
    error text,
    created_at timestamptz not null
);
create index notifications_of_a_user on notifications (user_id, created_at);
create index notifications_sent on notifications (created_at);

do $$
declare
    name text;
begin
    foreach name in array array['weekly_hours', 'leave', 'consultations', 'availability_slots', 'waitlist', 'payments',
                                'payment_entries', 'payment_webhooks', 'messages', 'notes', 'attachments',
                                'prescriptions', 'consents', 'reminders', 'notifications'] loop
        execute format(
            'create trigger audited after insert or update or delete on %I for each row execute function audited(%L)',
            name, name);
    end loop;
end
$$;

grant select, insert, update, delete
    on weekly_hours, leave, availability_slots, waitlist, reminders, chat_marks to amrutam_app;
-- Only to look whether something strayed into them.
grant select on consultations_default, audit_logs_default to amrutam_app;
grant select, insert, update on consultations, payments, notes, attachments, consents, notifications to amrutam_app;
grant select, insert on payment_entries, payment_webhooks, messages, prescriptions to amrutam_app;

select make_partitions(current_date - 31, 14);
