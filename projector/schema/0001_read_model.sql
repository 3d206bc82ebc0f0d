-- What the read side tells, and how far it has heard. Everything here can be thrown away and folded
-- again from the event log; the checkpoint moves in the same transaction as the rows it covers.

CREATE SCHEMA read_model AUTHORIZATION booking_owner;

SET LOCAL ROLE booking_owner;

-- One row. Every read joins it, so that rows, position and as_of come from one snapshot.
CREATE TABLE read_model.checkpoint (
    only_row   boolean PRIMARY KEY DEFAULT true
               CONSTRAINT there_is_one_checkpoint CHECK (only_row),
    epoch      uuid,                        -- null until a projector has met the log
    position   bigint NOT NULL DEFAULT 0    -- of the last event folded in
               CONSTRAINT a_position_counts_events CHECK (position >= 0),
    event_id   uuid,                        -- of that event: proves that the log is still the same
    as_of      timestamptz,                 -- everything up to this moment has been heard
    generation bigint NOT NULL DEFAULT 1,   -- +1 whenever the rows are replaced as a whole
    state      text NOT NULL DEFAULT 'rebuilding'
               CONSTRAINT a_known_state CHECK (state IN ('running', 'rebuilding')),
    CONSTRAINT a_running_view_knows_its_age CHECK (state = 'rebuilding' OR as_of IS NOT NULL)
) WITH (fillfactor = 10);

INSERT INTO read_model.checkpoint DEFAULT VALUES;

CREATE TABLE read_model.resource (
    resource_id            uuid PRIMARY KEY,
    name                   text NOT NULL,
    time_zone              text NOT NULL,
    hold_seconds           int NOT NULL,
    units_per_booking_max  int,
    units_per_customer_max int,
    overbooking_units      int NOT NULL,
    version                bigint NOT NULL
);

-- Written once per batch however often it was booked. No index holds a column that bookings change,
-- so with room on the page every write is a heap-only update.
CREATE TABLE read_model.slot (
    slot_id           uuid PRIMARY KEY,
    resource_id       uuid NOT NULL,
    starts_at         timestamptz NOT NULL,
    ends_at           timestamptz NOT NULL,
    state             text NOT NULL,
    capacity          int NOT NULL,
    overbooking_units int NOT NULL,
    held              int NOT NULL,
    confirmed         int NOT NULL,
    remaining         int GENERATED ALWAYS AS
                      (capacity + overbooking_units - held - confirmed) VIRTUAL,
    version           bigint NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX slots_of_a_resource_by_time ON read_model.slot (resource_id, starts_at, slot_id);

-- created_position is the position of the event that made the booking: unique, and its order is the
-- order of "newest first".
CREATE TABLE read_model.booking (
    booking_id       uuid PRIMARY KEY,
    customer_id      uuid NOT NULL,
    state            text NOT NULL,
    version          bigint NOT NULL,
    expires_at       timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    created_position bigint NOT NULL
) WITH (fillfactor = 80);

-- Ascending, though the newest is asked for first: what grows at its end fills its pages.
CREATE INDEX bookings_of_a_customer ON read_model.booking (customer_id, created_position);

CREATE TABLE read_model.booking_line (
    booking_id       uuid NOT NULL,
    slot_id          uuid NOT NULL,
    units            int NOT NULL,
    created_position bigint NOT NULL,
    PRIMARY KEY (booking_id, slot_id)
);

-- The door list: who comes to this slot, newest booking first.
CREATE INDEX door_list ON read_model.booking_line (slot_id, created_position);

-- Who is at work, each row written once a second by the one it names.
CREATE TABLE read_model.projectors (
    name            text PRIMARY KEY,
    state           text NOT NULL,
    reason          text,
    position        bigint NOT NULL,
    as_of           timestamptz,
    stream_last_seq bigint,
    seen_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE read_model.query_nodes (
    node    text PRIMARY KEY,
    applied bigint NOT NULL,
    as_of   timestamptz,
    seen_at timestamptz NOT NULL DEFAULT now()
);

GRANT USAGE ON SCHEMA read_model TO projector_writer, query_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA read_model TO projector_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA read_model TO query_reader;
GRANT INSERT, UPDATE, DELETE ON read_model.query_nodes TO query_reader;
