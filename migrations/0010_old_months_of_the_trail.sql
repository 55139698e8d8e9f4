-- Months of the trail that are older than it is kept leave audit_logs for a schema of their own, whole and unchanged,
-- for whoever runs the database to copy away and drop. Nothing here deletes a row.
create schema old_trail;

-- Detaches the oldest month whose last moment is at least `keep_months` ago, and returns its name; null where there is
-- none. It runs as the owner, so that the application can ask for this and for nothing else: by the database's own
-- clock, never below a year, and with a note of it in the trail. Who writes meanwhile waits half a second at most: then
-- it gives up (55P03). CONCURRENTLY is not for tables with a default partition.
create function detach_old_month(keep_months int) returns text
    language plpgsql security definer
    set search_path = pg_catalog, public
    set timezone = 'UTC'
    set lock_timeout = '500ms'
as $$
declare
    part text;
    entry uuid := id_at(clock_timestamp());
begin
    if keep_months is null or keep_months < 12 then
        raise exception 'the trail is kept for 12 months at least, not %', keep_months using errcode = '22023';
    end if;
    perform pg_advisory_xact_lock(hashtext('amrutam partitions'));
    select c.relname into part
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      cross join lateral (
          select substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::timestamptz as until
      ) bound
     where i.inhparent = 'public.audit_logs'::regclass
       and bound.until + make_interval(months => keep_months) <= clock_timestamp()
     order by bound.until
     limit 1;
    if part is null then
        return null;
    end if;
    execute format('alter table public.audit_logs detach partition public.%I', part);
    execute format('alter table public.%I set schema old_trail', part);
    insert into audit_logs (id, created_at, source, action, table_name, reason)
    values (entry, id_time(entry), 'retention', 'note', 'audit_logs', part || ' detached');
    return part;
end
$$;
revoke all on function detach_old_month(int) from public;
grant execute on function detach_old_month(int) to amrutam_app;
