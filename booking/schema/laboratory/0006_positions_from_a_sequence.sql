-- For the laboratory's slow_numbered_first arm only: positions come from a sequence, as in a table with
-- an identity column. They are unique and ascend in the order in which they are drawn, which is not the
-- order of the commits: who draws early and commits late puts an event behind the readers' backs.
-- From here on the log is not what the product's readers are promised, so the database is marked.

CREATE SCHEMA IF NOT EXISTS laboratory AUTHORIZATION booking_owner;

SET LOCAL ROLE booking_owner;

CREATE SEQUENCE IF NOT EXISTS laboratory.position;

SELECT setval('laboratory.position',
    greatest((SELECT "position" FROM booking.log_head) + 1,
             (SELECT last_value + is_called::integer FROM laboratory.position)), false);

-- So many numbers in a row; answers the one before the first. The lock is given back at once: numbers are
-- drawn without waiting for anybody's commit, which is why sequences are liked.
CREATE OR REPLACE FUNCTION laboratory.draw(events integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    drawn bigint;
BEGIN
    PERFORM pg_advisory_lock(hashtext('laboratory.position'));
    drawn := nextval('laboratory.position');
    IF events > 1 THEN
        PERFORM setval('laboratory.position', drawn + events - 1);
    END IF;
    PERFORM pg_advisory_unlock(hashtext('laboratory.position'));
    RETURN drawn - 1;
END $$;

-- In the place of the product's: the number drawn when the transaction began, if it drew one.
CREATE OR REPLACE FUNCTION booking.number(
    events integer, OUT epoch uuid, OUT before_first bigint, OUT recorded_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    drawn text := nullif(current_setting('laboratory.drawn', true), '');
BEGIN
    IF drawn IS NULL OR events > 1 THEN
        before_first := laboratory.draw(events);
    ELSE
        before_first := drawn::bigint;
    END IF;
    UPDATE booking.log_head AS head
    SET "position" = greatest(head."position", number.before_first + events),
        recorded_at = greatest(head.recorded_at, clock_timestamp())
    RETURNING head.epoch, head.recorded_at INTO number.epoch, number.recorded_at;
END $$;

UPDATE booking.log_head SET last_line_removed = true;

GRANT USAGE ON SCHEMA laboratory TO booking_writer;
GRANT USAGE, UPDATE ON SEQUENCE laboratory.position TO booking_writer;
GRANT EXECUTE ON FUNCTION laboratory.draw(integer) TO booking_writer;
