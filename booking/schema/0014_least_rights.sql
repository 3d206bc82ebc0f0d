-- Rights that were given and that nobody needs. Keys and the secret that signs tokens are for those who
-- answer clients, which relay and projector do not; an epoch is ended by those two, never by who decides;
-- and a line is replaced, never changed.

SET LOCAL ROLE booking_owner;

REVOKE SELECT ON published.api_keys, published.token_secret FROM booking_relay, projector_writer;
REVOKE EXECUTE ON FUNCTION published.new_epoch(uuid), published.new_epoch(uuid, uuid)
    FROM booking_writer;
REVOKE UPDATE ON booking.booking_line FROM booking_writer;
