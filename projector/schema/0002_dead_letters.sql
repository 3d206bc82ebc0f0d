-- Events that could not be taken in, and what is suspect because of them. A letter is written in the
-- transaction that moves the checkpoint past its event, so nothing is ever passed over in silence.

SET LOCAL ROLE booking_owner;

-- The columns of the log beside the payload say what it concerned, even when the payload says nothing.
CREATE TABLE read_model.dead_letter (
    position    bigint PRIMARY KEY,
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    schema      int NOT NULL,
    recorded_at timestamptz NOT NULL,
    booking_id  uuid,
    slot_ids    uuid[] NOT NULL,
    payload     text NOT NULL,
    reason      text NOT NULL,
    buried_at   timestamptz NOT NULL DEFAULT now()
);

-- Each with the newest position that made it suspect. A slot is so until a newer event says its whole
-- state; a booking, told in changes, until it is retried, repaired or rebuilt.
CREATE TABLE read_model.suspect_slot (
    slot_id  uuid PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE read_model.suspect_booking (
    booking_id uuid PRIMARY KEY,
    position   bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON read_model.dead_letter, read_model.suspect_slot, read_model.suspect_booking TO projector_writer;
GRANT SELECT
    ON read_model.dead_letter, read_model.suspect_slot, read_model.suspect_booking TO query_reader;
