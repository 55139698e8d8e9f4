-- Accounts: users and what proves who they are. A bytea column holds a sealed value (class 3 or 4) or a hash.

create table users (
    id uuid primary key,
    role text not null check (role in ('ADMIN', 'DOCTOR', 'PATIENT')),
    email bytea not null,
    email_hash bytea not null unique,
    phone bytea,
    phone_hash bytea,
    name bytea not null,
    password_hash text,
    mfa_enabled boolean not null default false,
    language text not null default 'en',
    time_zone text not null default 'Asia/Kolkata',
    reminders jsonb not null default '{"mail": true, "sms": true}',
    email_verified_at timestamptz,
    disabled_at timestamptz,
    created_at timestamptz not null
);

create table patients (
    id uuid primary key,
    n int generated always as identity unique,
    user_id uuid not null unique references users (id),
    birth_date bytea,
    sex bytea,
    history bytea,
    created_at timestamptz not null
);

create table doctors (
    id uuid primary key,
    n int generated always as identity unique,
    user_id uuid not null unique references users (id),
    name text not null,
    specialty text not null,
    languages text[] not null default '{}',
    about text not null default '',
    registration_number text not null,
    fee_minor bigint not null default 0 check (fee_minor >= 0),
    currency text not null default 'INR',
    time_zone text not null default 'Asia/Kolkata',
    slot_minutes int not null default 15 check (slot_minutes between 5 and 240),
    buffer_minutes int not null default 0 check (buffer_minutes between 0 and 120),
    horizon_days int not null default 60 check (horizon_days between 1 and 366),
    search_text text not null,
    verified_at timestamptz,
    created_at timestamptz not null
);
create index doctors_listed on doctors (specialty, id) where verified_at is not null;

create table totp_credentials (
    id uuid primary key,
    user_id uuid not null unique references users (id),
    secret bytea not null,
    last_step bigint not null default 0,
    confirmed_at timestamptz,
    created_at timestamptz not null
);
create table recovery_codes (
    id uuid primary key,
    user_id uuid not null references users (id),
    code_hash text not null,
    used_at timestamptz,
    created_at timestamptz not null
);
create index recovery_codes_of_a_user on recovery_codes (user_id) where used_at is null;

-- The token itself is never stored. last_seen_at is plumbing: the trail hears of sessions begun and ended only.
create table sessions (
    id uuid primary key,
    token_hash bytea not null unique,
    user_id uuid not null references users (id),
    kind text not null check (kind in ('full', 'second-step')),
    auth_at timestamptz not null,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz
);
create index sessions_of_a_user on sessions (user_id) where ended_at is null;

create table one_time_links (
    id uuid primary key,
    user_id uuid not null references users (id),
    purpose text not null check (purpose in ('verify-email', 'reset-password', 'invitation', 'change-email')),
    token_hash bytea not null unique,
    expires_at timestamptz not null,
    used_at timestamptz,
    created_at timestamptz not null
);

create table api_keys (
    id uuid primary key,
    user_id uuid not null references users (id),
    name text not null,
    key_hash bytea not null unique,
    scopes text[] not null,
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null
);

create trigger audited after insert or update or delete on users for each row execute function audited('users');
create trigger audited after insert or update or delete on patients for each row execute function audited('patients');
create trigger audited after insert or update or delete on doctors for each row execute function audited('doctors');
create trigger audited after insert or update or delete on totp_credentials
    for each row execute function audited('totp_credentials');
create trigger audited after insert or update or delete on recovery_codes
    for each row execute function audited('recovery_codes');
create trigger audited after insert or delete or update of kind, auth_at, expires_at, ended_at on sessions
    for each row execute function audited('sessions');
create trigger audited after insert or update or delete on one_time_links
    for each row execute function audited('one_time_links');
create trigger audited after insert or delete or update of scopes, expires_at, revoked_at on api_keys
    for each row execute function audited('api_keys');
create trigger audited after insert or update or delete on data_keys
    for each row execute function audited('data_keys');

grant select, insert, update, delete
    on users, patients, doctors, totp_credentials, recovery_codes, sessions, one_time_links, api_keys to amrutam_app;
