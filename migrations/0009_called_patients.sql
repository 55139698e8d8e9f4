-- Who has been called in and not yet begun: a handful of rows, looked for every few seconds.
create index consultations_called on consultations (called_at) where status = 'PENDING' and called_at is not null;
