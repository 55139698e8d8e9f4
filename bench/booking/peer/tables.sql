-- The tables of prisma/schema.prisma, as its own migration would make them.
create type "Role" as enum ('ADMIN', 'DOCTOR', 'PATIENT');
create type "SlotStatus" as enum ('AVAILABLE', 'BOOKED');
create type "ConsultationStatus" as enum ('PENDING', 'ACTIVE', 'COMPLETED', 'CANCELLED');

create table users (
    id uuid primary key,
    email text not null unique,
    password_hash text not null,
    role "Role" not null,
    mfa_enabled boolean not null default false,
    name text not null
);
create table doctors (
    id uuid primary key,
    user_id uuid not null unique references users (id)
);
create table patients (
    id uuid primary key,
    user_id uuid not null unique references users (id)
);
create table availability_slots (
    id uuid primary key,
    doctor_id uuid not null references doctors (id),
    start_time timestamptz not null,
    end_time timestamptz not null,
    status "SlotStatus" not null default 'AVAILABLE'
);
create index on availability_slots (doctor_id, start_time);
create table consultations (
    id uuid primary key,
    patient_id uuid not null references patients (id),
    doctor_id uuid not null references doctors (id),
    slot_id uuid not null unique references availability_slots (id),
    status "ConsultationStatus" not null default 'PENDING',
    meeting_link text not null,
    created_at timestamptz not null default now()
);
create index on consultations (patient_id);
