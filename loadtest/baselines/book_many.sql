-- The same as book.sql, on one of 10,000 rows.
\set slot random(1, 10000)
WITH taken AS (
    UPDATE slot SET confirmed = confirmed + 1
    WHERE slot_id = :slot AND confirmed + 1 <= capacity
    RETURNING slot_id
)
INSERT INTO booking (booking_id, slot_id, customer_id, units)
SELECT uuidv7(), slot_id, gen_random_uuid(), 1 FROM taken;
