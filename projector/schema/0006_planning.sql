-- What the planner learns about the tables that every booking adds to. Rows are found by what an index
-- holds, and lists show one state; of these a coarse picture is enough. Nobody plans by the rest: times,
-- versions, units and positions. Yet while a sale fills the tables, autovacuum sampled and sorted all of
-- it again and again, for 1 percent of the processor.

SET LOCAL ROLE booking_owner;

DO $$
DECLARE
    it record;
BEGIN
    FOR it IN
        SELECT relname AS filled, attname AS name, attname = 'state' OR EXISTS (
                   SELECT FROM pg_catalog.pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey)
               ) AS searched
        FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class AS c ON c.oid = attrelid
        WHERE relnamespace = 'read_model'::regnamespace
          AND relname IN ('booking', 'booking_line', 'booking_event', 'slot_history')
          AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE read_model.%I ALTER COLUMN %I SET STATISTICS %s',
                       it.filled, it.name, CASE WHEN it.searched THEN 10 ELSE 0 END);
    END LOOP;
END $$;
