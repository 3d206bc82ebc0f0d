-- For the laboratory's trust-the-view arm only: lets the write side read what it must never decide by.

SET LOCAL ROLE booking_owner;

GRANT USAGE ON SCHEMA read_model TO booking_writer;
GRANT SELECT ON read_model.slot TO booking_writer;
