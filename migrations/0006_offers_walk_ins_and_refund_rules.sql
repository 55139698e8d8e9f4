-- A freed slot is offered to those who wait, one after the other; walk-ins and follow-ups; what comes back of a fee.
-- New tables and columns that are null or constant: servers of the version before go on beside it.

-- Until `offered_until` a free slot is kept for the patient of this number; 0 is the moment in which one is looked for.
alter table availability_slots
    add column offered_n int,
    add column offered_until timestamptz;

-- Every slot that a wish was offered, and how that ended. One without an end is the offer of now.
create table waitlist_offers (
    id uuid primary key,
    waitlist_id uuid not null references waitlist (id),
    patient_id uuid not null references patients (id),
    slot_id uuid not null,
    start_time timestamptz not null,
    end_time timestamptz not null,
    token_hash bytea not null unique,
    offered_at timestamptz not null,
    offered_until timestamptz not null,
    ended_at timestamptz,
    ended_as text check (ended_as in ('booked', 'declined', 'expired', 'withdrawn')),
    -- Nobody is asked twice about one slot.
    unique (waitlist_id, slot_id),
    constraint waitlist_offers_ended_says_how check ((ended_at is null) = (ended_as is null))
);
create unique index waitlist_offers_one_a_slot on waitlist_offers (slot_id) where ended_at is null;
create unique index waitlist_offers_one_a_wish on waitlist_offers (waitlist_id) where ended_at is null;
create index waitlist_offers_of_a_patient on waitlist_offers (patient_id);
create trigger audited after insert or update or delete on waitlist_offers
    for each row execute function audited('waitlist_offers');
grant select, insert, update on waitlist_offers to amrutam_app;

create index waitlist_of_a_patient on waitlist (patient_id) where closed_at is null;
comment on column waitlist.offered_slot_id is 'Not used: offers are rows of waitlist_offers.';
comment on column waitlist.offered_until is 'Not used: offers are rows of waitlist_offers.';

-- The database keeps the promise, whichever door a booking comes through: another patient's update finds no row, as if
-- the slot were taken. With the booking of the one who was asked, offer and wish are closed in the same transaction.
create function offered_slot_goes_to_its_patient() returns trigger
    language plpgsql
as $$
begin
    if new.patient_n is distinct from old.offered_n and old.offered_until > act_time() then
        return null;
    end if;
    with ended as (
        update waitlist_offers o
           set ended_at = act_time(),
               ended_as = case when new.patient_n = old.offered_n then 'booked' else 'expired' end
         where o.slot_id = old.id and o.ended_at is null
        returning o.waitlist_id, o.ended_as
    )
    update waitlist w set closed_at = act_time()
      from ended
     where w.id = ended.waitlist_id and ended.ended_as = 'booked' and w.closed_at is null;
    new.offered_n := null;
    new.offered_until := null;
    return new;
end
$$;
create trigger offered before update on availability_slots
    for each row when (old.offered_n is not null and old.status = 'AVAILABLE' and new.status = 'BOOKED')
    execute function offered_slot_goes_to_its_patient();

alter table doctors add column walk_ins boolean not null default false;

-- `refund_percent`: what of the fee comes back at most. Who moves a consultation late keeps the terms of that hour.
alter table consultations
    add column walk_in boolean not null default false,
    add column follow_up_of uuid,
    add column refund_percent int not null default 100;
