-- The worker is told of an order only where a gateway has to be asked for one; that a consultation was booked is news for
-- webhooks. What was not relayed yet tells of the consultation, which is all that its step reads.
delete from steps where event = 'consultation.booked';
update outbox set name = 'payment.order_due' where name = 'consultation.booked' and relayed_at is null;
