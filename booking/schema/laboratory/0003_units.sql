-- For the laboratory's row-per-unit arm only: a row for every unit of every slot, free while
-- booking_id is null. Made anew from slots and live bookings each time, since another guard may have
-- sold meanwhile.

CREATE SCHEMA IF NOT EXISTS laboratory AUTHORIZATION booking_owner;

SET LOCAL ROLE booking_owner;

DROP TABLE IF EXISTS laboratory.unit;

CREATE TABLE laboratory.unit (
    slot_id    uuid    NOT NULL,
    number     integer NOT NULL,
    booking_id uuid,
    CONSTRAINT one_row_per_unit PRIMARY KEY (slot_id, number)
) WITH (fillfactor = 50);

CREATE INDEX free_units ON laboratory.unit (slot_id, number) WHERE booking_id IS NULL;
CREATE INDEX units_of_a_booking ON laboratory.unit (booking_id, slot_id);

INSERT INTO laboratory.unit (slot_id, number, booking_id)
SELECT s.slot_id, number, taken.booking_id
FROM booking.slot AS s
CROSS JOIN LATERAL generate_series(1, s.capacity + s.overbooking_units) AS number
LEFT JOIN (
    SELECT l.slot_id, l.booking_id, row_number() OVER (PARTITION BY l.slot_id) AS number
    FROM booking.booking_line AS l JOIN booking.booking AS b USING (booking_id)
    CROSS JOIN LATERAL generate_series(1, l.units)
    WHERE b.state IN ('held', 'confirmed')
) AS taken USING (slot_id, number);

-- A slot that is opened comes with its units.
CREATE OR REPLACE FUNCTION laboratory.make_units() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO laboratory.unit (slot_id, number)
    SELECT NEW.slot_id, number
    FROM generate_series(1, NEW.capacity + NEW.overbooking_units) AS number;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER slot_has_a_row_per_unit AFTER INSERT ON booking.slot
    FOR EACH ROW EXECUTE FUNCTION laboratory.make_units();

GRANT USAGE ON SCHEMA laboratory TO booking_writer;
GRANT SELECT, UPDATE ON laboratory.unit TO booking_writer;
