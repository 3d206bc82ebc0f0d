-- What operators decided and found out about the read model.

SET LOCAL ROLE booking_owner;

-- A dropped letter is kept, so that a rebuild or a verification does without the same event.
ALTER TABLE read_model.dead_letter ADD COLUMN dropped_at timestamptz;

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

GRANT SELECT, INSERT, UPDATE, DELETE ON read_model.verification TO projector_writer;
GRANT SELECT ON read_model.verification TO query_reader;
