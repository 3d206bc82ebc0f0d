-- What everybody may see of the write side, and the one thing others may do to it.

SET LOCAL ROLE booking_owner;

CREATE VIEW published.events AS
SELECT "position", event_id, type, schema, recorded_at, actor, command_id, correlation_id,
       traceparent, booking_id, resource_id, slot_ids, slots, data
FROM booking.event_log;

CREATE VIEW published.head AS
SELECT epoch, "position", recorded_at, last_line_removed FROM booking.log_head;

CREATE VIEW published.token_secret AS
SELECT secret FROM booking.token_secret;

CREATE VIEW published.api_keys AS
SELECT key_id, name, sha256, scopes, customer_id, rate_per_s, burst
FROM booking.api_key WHERE revoked_at IS NULL;

-- Whoever sees that the log and a copy of it contradict each other names the epoch it believed in.
-- Only the first to do so changes it; everyone is told the epoch now in force.
CREATE FUNCTION published.new_epoch(old uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE booking.log_head SET epoch = uuidv7() WHERE epoch = old;
    RETURN (SELECT epoch FROM booking.log_head);
END $$;

REVOKE EXECUTE ON FUNCTION published.new_epoch(uuid) FROM PUBLIC;

GRANT USAGE ON SCHEMA published TO booking_writer, booking_relay, projector_writer, query_reader;
GRANT SELECT ON published.events, published.head, published.token_secret, published.api_keys
    TO booking_writer, booking_relay, projector_writer, query_reader;
GRANT EXECUTE ON FUNCTION published.new_epoch(uuid)
    TO booking_writer, booking_relay, projector_writer;
