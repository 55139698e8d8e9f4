-- An administrator's list: everybody's consultations by time, a page at a time, without reading every month whole.
create index consultations_by_time on consultations (start_time, id);
