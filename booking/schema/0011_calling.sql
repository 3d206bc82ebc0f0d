-- Who may call the functions of this schema: booking_writer, and nobody else. Unless it is taken back,
-- Postgres lets everybody call a new function; booking_relay may look into this schema, so it could.
-- The one function that others call, published.new_epoch, stands in 0003 with its rights.
--
-- A later file that makes a function takes the right back beside it.

SET LOCAL ROLE booking_owner;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA booking FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA booking TO booking_writer;
