-- The tables of book.sql: the least that may be called a booking system. The hot row has room beside
-- it, so that its new versions touch no index; the CHECK is the same last line of defence the product has.

CREATE TABLE slot (
    slot_id   integer PRIMARY KEY,
    capacity  integer NOT NULL,
    confirmed integer NOT NULL,
    CONSTRAINT slot_never_oversold CHECK (confirmed BETWEEN 0 AND capacity)
) WITH (fillfactor = 50);

CREATE TABLE booking (
    booking_id  uuid PRIMARY KEY,
    slot_id     integer NOT NULL,
    customer_id uuid NOT NULL,
    units       integer NOT NULL
);

INSERT INTO slot VALUES (1, 2000000000, 0);
