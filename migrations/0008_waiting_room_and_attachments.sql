-- The waiting room: a place of one's own behind the next, what the device check found, who handed a consultation on,
-- and a doctor's word to all who wait. Columns without a default: no table is rewritten, no row is read.

alter table consultations
    add column queued_at timestamptz,
    add column readiness jsonb,
    add column transferred_from uuid,
    add column transferred_at timestamptz;

-- One word a doctor: the latest. It is over by itself, `minutes` after it was said.
create table queue_notices (
    id uuid primary key,
    doctor_id uuid not null unique references doctors (id),
    minutes int not null check (minutes between 1 and 240),
    reason text not null check (reason in ('late', 'emergency', 'technical', 'break')),
    said_at timestamptz not null
);
create trigger audited after insert or update or delete on queue_notices
    for each row execute function audited('queue_notices');
grant select, insert, update, delete on queue_notices to amrutam_app;

create index attachments_of_an_uploader on attachments (uploaded_by);
