-- Messages by mail, SMS and push: what a user wants to hear by which and when not, what became of each message, devices.

-- `channels` says which ways news of bookings and of the account may take; `reminders` (it came first) those of
-- reminders. What is not named is yes. Quiet hours are {"from": "22:00", "to": "07:00"} by the user's own clock.
alter table users
    add column channels jsonb not null default '{}',
    add column quiet_hours jsonb,
    add column undeliverable_at timestamptz;
comment on column users.undeliverable_at is 'Since when the mail server says that nobody is at this address.';

-- A reminder is true for one start only: moved to another one, it is due anew even at the same moment.
alter table reminders add column start_time timestamptz;

-- `kind` names the letter. After `valid_until` nobody wants it; a reminder is of the consultation that begins then.
alter table notifications
    add column kind text not null default '',
    add column consultation_id uuid,
    add column valid_until timestamptz,
    drop constraint notifications_channel_check,
    drop constraint notifications_state_check;
-- Rows that stand already passed narrower checks: there is nothing to scan the table for.
alter table notifications
    add constraint notifications_channel_check check (channel in ('mail', 'sms', 'push')) not valid,
    add constraint notifications_state_check
        check (state in ('queued', 'sent', 'delivered', 'bounced', 'failed', 'dropped')) not valid;

-- What is still to be tried again (`due_at`), and what the provider calls a message. A table of its own, so that its
-- indexes hold the few and not every message that ever left. `id` is the notification's.
create table dispatches (
    id uuid primary key references notifications (id),
    tries int not null default 0,
    due_at timestamptz,
    provider_ref text unique
);
create index dispatches_due on dispatches (due_at) where due_at is not null;

-- A browser that its owner wants to be told on. The address and its keys are sealed in one; the hash finds the address.
create table push_subscriptions (
    id uuid primary key,
    user_id uuid not null references users (id),
    session_id uuid,
    subscription bytea not null,
    endpoint_hash bytea not null unique,
    created_at timestamptz not null
);
create index push_subscriptions_of_a_user on push_subscriptions (user_id);

create trigger audited after insert or update or delete on dispatches
    for each row execute function audited('dispatches');
create trigger audited after insert or update or delete on push_subscriptions
    for each row execute function audited('push_subscriptions');

grant select, insert, update on dispatches to amrutam_app;
grant select, insert, update, delete on push_subscriptions to amrutam_app;
