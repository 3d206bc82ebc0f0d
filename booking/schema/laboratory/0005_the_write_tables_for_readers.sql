-- For the laboratory's CRUD arm only: the write side's tables in the shape of the read model, so that the
-- same queries can be asked of either. One model then serves both, as in most systems; what a query
-- answers is of the moment its statement began.

SET LOCAL ROLE booking_owner;

-- Whoever reads from these tables would have indexed them for it. Every booking pays for the last three.
CREATE INDEX IF NOT EXISTS slots_of_a_resource_by_time ON booking.slot (resource_id, starts_at, slot_id);
CREATE INDEX IF NOT EXISTS bookings_of_a_customer ON booking.booking (customer_id);
CREATE INDEX IF NOT EXISTS lines_of_a_slot ON booking.booking_line (slot_id);
CREATE INDEX IF NOT EXISTS events_of_a_booking ON booking.event_log (booking_id, "position");

-- transaction_timestamp() is a moment before the snapshot that the position comes from.
CREATE OR REPLACE VIEW published.checkpoint AS
SELECT epoch, "position", NULL::uuid AS event_id, transaction_timestamp() AS as_of,
       1::bigint AS generation, 'running' AS state
FROM booking.log_head;

CREATE OR REPLACE VIEW published.resource AS
SELECT resource_id, name, time_zone, hold_seconds, units_per_booking_max, units_per_customer_max,
       overbooking_units, version
FROM booking.resource;

CREATE OR REPLACE VIEW published.slot AS
SELECT slot_id, resource_id, starts_at, ends_at, state, capacity, overbooking_units, held, confirmed,
       capacity + overbooking_units - held - confirmed AS remaining, version
FROM booking.slot;

CREATE OR REPLACE VIEW published.booking AS
SELECT b.booking_id, b.customer_id, b.state, b.version, b.expires_at, made.recorded_at AS created_at,
       changed.recorded_at AS updated_at, made."position" AS created_position
FROM booking.booking AS b
CROSS JOIN LATERAL (
    SELECT e."position", e.recorded_at FROM booking.event_log AS e
    WHERE e.booking_id = b.booking_id ORDER BY e."position" LIMIT 1) AS made
JOIN booking.event_log AS changed ON changed."position" = b."position";

CREATE OR REPLACE VIEW published.booking_line AS
SELECT l.booking_id, l.slot_id, l.units, made."position" AS created_position
FROM booking.booking_line AS l
CROSS JOIN LATERAL (
    SELECT e."position" FROM booking.event_log AS e
    WHERE e.booking_id = l.booking_id ORDER BY e."position" LIMIT 1) AS made;

-- Nothing has to be taken in here, so nothing can be suspect.
CREATE OR REPLACE VIEW published.suspect_slot AS
SELECT NULL::uuid AS slot_id, 0::bigint AS "position" WHERE false;
CREATE OR REPLACE VIEW published.suspect_booking AS
SELECT NULL::uuid AS booking_id, 0::bigint AS "position" WHERE false;
CREATE OR REPLACE VIEW published.dead_letter AS
SELECT 0::bigint AS "position", ''::text AS type, NULL::uuid AS booking_id, '{}'::uuid[] AS slot_ids,
       ''::text AS payload
WHERE false;

GRANT SELECT ON published.checkpoint, published.resource, published.slot, published.booking,
    published.booking_line, published.suspect_slot, published.suspect_booking, published.dead_letter
    TO query_reader;
