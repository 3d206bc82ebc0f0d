-- What everybody may see of the write side, and the one thing others may do to it: end an epoch.
-- Nothing else of this side is promised to anybody.

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

-- Whoever sees that the log and a copy of it contradict each other names the epoch it believed in. Only
-- the first to do so changes it; everyone is told the epoch now in force.
--
-- Epochs order by time, so that whoever holds two knows which history came later. A server whose clock
-- is behind, as after a restore on another machine, must not break that: a new epoch is later than the
-- one it ends and than any that somebody has seen. `seen` is the latest that the caller knows of: after
-- a restore the log may have forgotten some.
CREATE FUNCTION published.new_epoch(old uuid, seen uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    latest uuid := greatest(old, seen);
    fresh  uuid := uuidv7();
BEGIN
    IF fresh <= latest THEN
        fresh := uuidv7(uuid_extract_timestamp(latest) - clock_timestamp() + interval '2 ms');
    END IF;
    UPDATE booking.log_head SET epoch = fresh WHERE epoch = old;
    RETURN (SELECT epoch FROM booking.log_head);
END $$;

-- For a caller that knows of no later one.
CREATE FUNCTION published.new_epoch(old uuid) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
    SELECT published.new_epoch(old, old);
$$;

REVOKE EXECUTE ON FUNCTION published.new_epoch(uuid), published.new_epoch(uuid, uuid) FROM PUBLIC;

GRANT USAGE ON SCHEMA published TO booking_writer, booking_relay, projector_writer, query_reader;
GRANT SELECT ON published.events, published.head
    TO booking_writer, booking_relay, projector_writer, query_reader;
-- Keys and the secret that signs tokens are for those who answer clients: not for relay and projector.
GRANT SELECT ON published.token_secret, published.api_keys TO booking_writer, query_reader;
-- An epoch is ended by those who compare the log with a copy, never by who decides.
GRANT EXECUTE ON FUNCTION published.new_epoch(uuid), published.new_epoch(uuid, uuid)
    TO booking_relay, projector_writer;
