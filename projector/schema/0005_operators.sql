-- What operators decided and found out about the read model.

SET LOCAL ROLE booking_owner;

-- Events that the read model does without, for good: dead letters that somebody dropped. A rebuild
-- and a verification do without them, too.
CREATE TABLE read_model.dropped_event (
    position   bigint PRIMARY KEY,
    event_id   uuid NOT NULL,           -- another event at this position, after a restore, is not meant
    type       text NOT NULL,
    reason     text NOT NULL,           -- why it could not be taken in
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- What the last verification found; one row, or none before the first.
CREATE TABLE read_model.verification (
    only_row    boolean PRIMARY KEY DEFAULT true
                CONSTRAINT there_is_one_last_verification CHECK (only_row),
    epoch       uuid NOT NULL,
    position    bigint NOT NULL,        -- up to which the log was folded
    rows        bigint NOT NULL,        -- that were compared
    drift       bigint NOT NULL,        -- rows that were not what the log says
    repaired    bigint NOT NULL,        -- how many of them were mended at once
    verified_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON read_model.verification, read_model.dropped_event
    TO projector_writer;
GRANT SELECT ON read_model.verification, read_model.dropped_event TO query_reader;
