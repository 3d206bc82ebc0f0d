-- One transaction per booking, as fast as that can be: a conditional update of the one row everybody
-- wants and, if it had a unit left, one booking. Both in one statement, prepared, so no round trip lies
-- between lock and commit; written as BEGIN, UPDATE, INSERT, COMMIT it is a third slower.
WITH taken AS (
    UPDATE slot SET confirmed = confirmed + 1
    WHERE slot_id = 1 AND confirmed + 1 <= capacity
    RETURNING slot_id
)
INSERT INTO booking (booking_id, slot_id, customer_id, units)
SELECT uuidv7(), slot_id, gen_random_uuid(), 1 FROM taken;
