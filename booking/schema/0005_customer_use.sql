-- What customers have of slots, where a policy limits it: looked up by the judging functions, taken and
-- given back in the transaction that takes or returns the units, and counted when a limit comes that
-- was not there before. The table is 0002's; without a limit there is no row in it.

SET LOCAL ROLE booking_owner;

-- Units of a slot that a customer has in live bookings.
CREATE FUNCTION booking.units_used(of_slot uuid, of_customer uuid) RETURNS integer
LANGUAGE sql STABLE
RETURN coalesce((SELECT units FROM booking.customer_use
                 WHERE slot_id = of_slot AND customer_id = of_customer), 0);

-- A customer takes units of a slot, or gives them back. The condition is the guard of the limit.
CREATE FUNCTION booking.use_units(of_slot uuid, of_customer uuid, change integer, at_most integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF change < 0 THEN
        UPDATE booking.customer_use SET units = units + change
        WHERE slot_id = of_slot AND customer_id = of_customer;
    ELSE
        INSERT INTO booking.customer_use AS u (slot_id, customer_id, units)
        VALUES (of_slot, of_customer, change)
        ON CONFLICT ON CONSTRAINT one_use_per_customer DO UPDATE SET units = u.units + change
        WHERE u.units + change <= at_most;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'A customer''s units changed between judgement and write.';
    END IF;
END $$;

-- A limit per customer that was not there before needs to know what customers have already. All of it
-- is counted before any slot is locked, while the sale goes on, and once more what the log tells of
-- since; under the locks only what came then is left to count. So a sale waits for milliseconds. With
-- 600,000 bookings counted under the locks it waited for two seconds, and with it every batch.
--
-- First every live booking of the resource; returns the log's position as of which that is, which the
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

-- Then bring that up to a later position, which is returned: of each booking with an event since, take
-- back what it had and count what it has. What it had stands in its first events since: whose it was in
-- the first transfer, its lines in the first reschedule, and a booking that was made since had nothing.
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
