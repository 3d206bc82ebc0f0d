-- For the laboratory's lock-then-count arms only: what they count. Made anew from the live bookings
-- each time, since another guard may have sold meanwhile.

CREATE SCHEMA IF NOT EXISTS laboratory AUTHORIZATION booking_owner;

SET LOCAL ROLE booking_owner;

DROP TABLE IF EXISTS laboratory.claim;

CREATE TABLE laboratory.claim (
    slot_id    uuid    NOT NULL,
    booking_id uuid    NOT NULL,
    units      integer NOT NULL,
    CONSTRAINT one_claim_per_slot PRIMARY KEY (slot_id, booking_id)
);

INSERT INTO laboratory.claim (slot_id, booking_id, units)
SELECT l.slot_id, l.booking_id, l.units
FROM booking.booking_line AS l JOIN booking.booking AS b USING (booking_id)
WHERE b.state IN ('held', 'confirmed');

GRANT USAGE ON SCHEMA laboratory TO booking_writer;
GRANT SELECT, INSERT, DELETE ON laboratory.claim TO booking_writer;
