-- A doctor's own rules beside the house's, and hours that do not repeat.

-- The notice is the longer of the two: the house's and the doctor's. Without a daily limit there is none.
alter table doctors
    add column lead_minutes int not null default 0 check (lead_minutes between 0 and 10080),
    add column daily_limit int check (daily_limit between 1 and 500);

create table extra_hours (
    id uuid primary key,
    doctor_id uuid not null references doctors (id),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    created_at timestamptz not null,
    constraint extra_hours_end_after_they_begin check (ends_at > starts_at)
);
create index extra_hours_of_a_doctor on extra_hours (doctor_id, ends_at);

create trigger audited after insert or update or delete on extra_hours
    for each row execute function audited('extra_hours');
grant select, insert, update, delete on extra_hours to amrutam_app;

comment on column availability_slots.fee_minor is
    'The fee when the slot was made or booked from the list. What a consultation costs is its payment''s amount.';
