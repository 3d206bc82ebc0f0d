-- A limit per customer that was not there before needs to know what customers have already. All of it
-- is counted before any slot is locked, while the sale goes on, and once more what the log tells of
-- since; under the locks only what came then is left to count. So a sale waits for milliseconds. With
-- 600,000 bookings counted under the locks it waited for two seconds, and with it every batch.

SET LOCAL ROLE booking_owner;

-- Count every live booking of the resource; returns the log's position as of which that is, which the
-- one statement sees together with the bookings.
CREATE FUNCTION booking.count_uses(of_resource uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    as_of bigint;
BEGIN
    WITH counted AS (
        INSERT INTO booking.customer_use (slot_id, customer_id, units)
        SELECT l.slot_id, b.customer_id, sum(l.units)
        FROM booking.slot AS s JOIN booking.booking_line AS l USING (slot_id)
        JOIN booking.booking AS b USING (booking_id)
        WHERE s.resource_id = of_resource AND b.state IN ('held', 'confirmed')
        GROUP BY l.slot_id, b.customer_id ORDER BY l.slot_id, b.customer_id)
    SELECT "position" INTO as_of FROM booking.log_head;
    RETURN as_of;
END $$;

-- Bring that up to a later position, which is returned: of each booking with an event since, take back
-- what it had and count what it has. What it had stands in its first events since: whose it was in the first
-- transfer, its lines in the first reschedule, and a booking that was made since had nothing.
CREATE FUNCTION booking.count_uses_since(of_resource uuid, since bigint) RETURNS bigint
LANGUAGE plpgsql
-- From the few events since to what they are about, never the other way round.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    as_of bigint;
BEGIN
    WITH corrected AS (
        MERGE INTO booking.customer_use AS u
        USING (
            WITH changed AS MATERIALIZED (
                SELECT booking_id,
                       (array_agg(type ORDER BY "position"))[1] AS type,
                       (array_agg(data ->> 'before' ORDER BY "position"))[1] AS before,
                       (array_agg((data ->> 'customer_id_before')::uuid ORDER BY "position")
                           FILTER (WHERE type = 'BookingTransferred'))[1] AS customer_before,
                       (array_agg(data -> 'lines_before' ORDER BY "position")
                           FILTER (WHERE type = 'BookingRescheduled'))[1] AS lines_before
                FROM booking.event_log WHERE "position" > since AND booking_id IS NOT NULL
                GROUP BY booking_id
            ), moved AS (
                SELECT l.slot_id, b.customer_id, l.units
                FROM changed JOIN booking.booking AS b USING (booking_id)
                JOIN booking.booking_line AS l USING (booking_id)
                WHERE b.state IN ('held', 'confirmed')
                UNION ALL
                SELECT l.slot_id, coalesce(c.customer_before, b.customer_id), -l.units
                FROM changed AS c JOIN booking.booking AS b USING (booking_id)
                CROSS JOIN LATERAL (
                    SELECT slot_id, units FROM booking.booking_line
                    WHERE booking_id = c.booking_id AND c.lines_before IS NULL
                    UNION ALL
                    SELECT slot_id, units
                    FROM json_to_recordset(c.lines_before) AS line(slot_id uuid, units integer)) AS l
                WHERE c.before IS NOT NULL
                   OR c.type IN ('HoldExtended', 'BookingRescheduled', 'BookingTransferred')
            )
            SELECT slot_id, customer_id, sum(units) AS units
            FROM moved JOIN booking.slot AS s USING (slot_id)
            WHERE s.resource_id = of_resource
            GROUP BY slot_id, customer_id HAVING sum(units) <> 0) AS d
        ON u.slot_id = d.slot_id AND u.customer_id = d.customer_id
        WHEN MATCHED THEN UPDATE SET units = u.units + d.units
        WHEN NOT MATCHED THEN INSERT (slot_id, customer_id, units)
            VALUES (d.slot_id, d.customer_id, d.units))
    SELECT "position" INTO as_of FROM booking.log_head;
    RETURN as_of;
END $$;

-- New rules for future bookings, as in 0006 but for the counting. Nobody books while the slots are
-- locked, and whoever locks one afterwards reads the new rule.
CREATE OR REPLACE FUNCTION booking.set_policy(
    command booking.command, resource_id uuid, hold_seconds integer,
    units_per_booking_max integer, units_per_customer_max integer, overbooking_units integer)
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known  booking.resource;
    wished booking.resource;
    body   text;
    number record;
    counted_as_of bigint;  -- a position of the log
BEGIN
    SELECT * INTO known FROM booking.resource AS r
    WHERE r.resource_id = resource_id FOR NO KEY UPDATE;

    RETURN QUERY SELECT * FROM booking.replay(command);
    IF FOUND THEN
        RETURN;
    END IF;
    IF command.deadline < clock_timestamp() THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'not-decided', 503, '{}');
        RETURN;
    END IF;
    IF known.resource_id IS NULL THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'resource-not-found', 404,
            format('{"resource_id":"%s"}', resource_id));
        RETURN;
    END IF;
    IF NOT known.version = ANY (command.if_match) THEN
        RETURN QUERY SELECT r.ordinal, r.outcome, r.status, r.body, r.location, known.version,
            r.epoch, r."position", r.as_of
        FROM booking.refuse(command, 'version-mismatch', 412, format('{"expected":[%s],"actual":%s}',
            array_to_string(command.if_match, ','), known.version)) AS r;
        RETURN;
    END IF;

    wished := ROW(known.resource_id, known.name, known.time_zone, hold_seconds,
                  units_per_booking_max, units_per_customer_max, overbooking_units, known.version);
    IF wished IS NOT DISTINCT FROM known THEN
        SELECT epoch, "position", recorded_at INTO number FROM booking.log_head FOR NO KEY UPDATE;
    ELSE
        wished.version := known.version + 1;
        IF (known.units_per_customer_max IS NULL) <> (units_per_customer_max IS NULL) THEN
            IF units_per_customer_max IS NOT NULL THEN
                counted_as_of := booking.count_uses(resource_id);
                counted_as_of := booking.count_uses_since(resource_id, counted_as_of);
            END IF;
            PERFORM FROM booking.slot AS s WHERE s.resource_id = resource_id
            ORDER BY s.slot_id FOR NO KEY UPDATE;
            IF units_per_customer_max IS NOT NULL THEN
                PERFORM booking.count_uses_since(resource_id, counted_as_of);
            ELSE
                DELETE FROM booking.customer_use AS u USING booking.slot AS s
                WHERE s.resource_id = resource_id AND u.slot_id = s.slot_id;
            END IF;
        END IF;
        SELECT epoch, before_first + 1 AS "position", recorded_at INTO number FROM booking.number(1);
        UPDATE booking.resource AS r
        SET hold_seconds = wished.hold_seconds, version = wished.version,
            units_per_booking_max = wished.units_per_booking_max,
            units_per_customer_max = wished.units_per_customer_max,
            overbooking_units = wished.overbooking_units
        WHERE r.resource_id = resource_id AND r.version = known.version;
        INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id,
            correlation_id, traceparent, resource_id, slot_ids, slots, data)
        VALUES (number."position", 'PolicyChanged', number.recorded_at, command.caller,
            command.command_id, command.correlation_id, command.traceparent, resource_id, '{}',
            '[]', format('{"resource_id":"%s","policy":%s,"version":%s}', resource_id,
                booking.json_policy(wished), wished.version)::json);
    END IF;
    body := format('{"resource_id":"%s","name":%s,"time_zone":%s,"version":%s,"position":%s,'
        '"policy":%s}', resource_id, to_json(wished.name), to_json(wished.time_zone),
        wished.version, number."position", booking.json_policy(wished));
    RETURN QUERY SELECT * FROM booking.keep(command, 200, NULL, wished.version, number.epoch,
        number."position", number.recorded_at, body);
END $$;

REVOKE EXECUTE ON FUNCTION booking.count_uses(uuid), booking.count_uses_since(uuid, bigint)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION booking.count_uses(uuid), booking.count_uses_since(uuid, bigint)
    TO booking_writer;
