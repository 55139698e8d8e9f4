-- Money goes back in parts, orders are paid at the gateway's own pages, and what the gateway says is held against
-- the ledger. New tables and nullable columns only: servers of the version before go on beside it.

-- A return that was asked for: reserved at once, so that two askers never give the same money back.
create table payment_refunds (
    id uuid primary key,
    payment_id uuid not null references payments (id),
    provider_payment text not null, -- the captured attempt that it comes out of
    amount_minor bigint not null check (amount_minor > 0),
    reason text not null check (reason in ('cancelled', 'duplicate', 'late', 'administrator')),
    provider_refund text,
    created_at timestamptz not null,
    done_at timestamptz,
    failed_at timestamptz,
    constraint payment_refunds_end_once check (done_at is null or failed_at is null)
);
create index payment_refunds_of_a_payment on payment_refunds (payment_id);

-- What the gateway calls the order of a payment, and where it is paid. Every name that was ever given is kept:
-- a repeated step may have opened a second one.
create table payment_orders (
    provider text not null,
    provider_order text not null,
    payment_id uuid not null references payments (id),
    pay_url text,
    created_at timestamptz not null,
    primary key (provider, provider_order)
);
create index payment_orders_of_a_payment on payment_orders (payment_id);

-- The consultation was cancelled and the captured money judged by its rules: what comes later goes back whole.
alter table payments add column settled_at timestamptz;
-- Of a return with a name of its own: the captured attempt that it comes out of.
alter table payment_entries add column attempt text;
-- No webhook brought it: the gateway's books did.
alter table payment_entries add column reconciled boolean not null default false;
-- A return that the bank gave back to us. The rows there hold to the narrower rule: no need to read them all.
alter table payment_entries drop constraint payment_entries_kind_check;
alter table payment_entries add constraint payment_entries_kind_check
    check (kind in ('authorised', 'captured', 'refunded', 'failed', 'refund_failed')) not valid;

-- One look into a gateway's books, and what did not agree.
create table payment_reconciliations (
    id uuid primary key,
    provider text not null,
    since timestamptz not null,
    until timestamptz not null,
    started_at timestamptz not null,
    done_at timestamptz,
    checked int not null default 0,
    found int not null default 0
);
create index payment_reconciliations_latest on payment_reconciliations (provider, started_at);

create table payment_differences (
    id uuid primary key,
    provider text not null,
    kind text not null
        check (kind in ('capture_not_here', 'capture_not_there', 'refund_not_here', 'refund_not_there', 'amount')),
    reference text not null, -- the gateway's name of the attempt or of the return
    payment_id uuid references payments (id),
    ours_minor bigint,
    theirs_minor bigint,
    currency text,
    found_at timestamptz not null,
    seen_at timestamptz not null,
    repaired_at timestamptz,
    gone_at timestamptz,
    unique (provider, kind, reference)
);
create index payment_differences_open on payment_differences (found_at) where repaired_at is null and gone_at is null;

do $$
declare
    name text;
begin
    foreach name in array array['payment_refunds', 'payment_orders', 'payment_reconciliations',
                                'payment_differences'] loop
        execute format(
            'create trigger audited after insert or update or delete on %I for each row execute function audited(%L)',
            name, name);
    end loop;
end
$$;

grant select, insert, update on payment_refunds, payment_reconciliations, payment_differences to amrutam_app;
grant select, insert on payment_orders to amrutam_app;
