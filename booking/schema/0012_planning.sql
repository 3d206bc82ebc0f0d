-- What the planner learns about the tables that every booking adds to. Their rows are found by keys or in
-- the order of an index, so nobody plans by what their other columns hold. Yet while a sale fills them,
-- autovacuum looks through all of it again and again: sampling and sorting took a tenth of the processor.
-- Of what is searched by, a coarse picture is enough.

SET LOCAL ROLE booking_owner;

DO $$
DECLARE
    it record;
BEGIN
    FOR it IN
        SELECT filled, attname AS name, attname = ANY (searched) AS is_searched
        FROM (VALUES ('event_log', '{position}'::text[]),
                     ('command_record', '{caller, command_id, kept_since}'),
                     ('booking', '{booking_id, customer_id, state, expires_at}'),
                     ('booking_line', '{booking_id, slot_id}')) AS planned (filled, searched)
        JOIN pg_catalog.pg_attribute ON attrelid = ('booking.' || filled)::regclass
        WHERE attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE booking.%I ALTER COLUMN %I SET STATISTICS %s',
                       it.filled, it.name, CASE WHEN it.is_searched THEN 10 ELSE 0 END);
    END LOOP;
END $$;
