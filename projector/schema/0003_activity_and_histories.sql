-- What happened when, and where it stands in the log: read models that count. A count cannot be gated
-- by a version as a state can, so these rely on the checkpoint alone: it moves in the same
-- transaction, and so every event is counted exactly once.

SET LOCAL ROLE booking_owner;

-- Per resource and hour (UTC, of recorded_at). Bookings are counted in every resource they have lines in.
CREATE TABLE read_model.activity (
    resource_id     uuid        NOT NULL,
    hour            timestamptz NOT NULL,
    held            bigint      NOT NULL,
    held_units      bigint      NOT NULL,
    confirmed       bigint      NOT NULL,
    confirmed_units bigint      NOT NULL,
    released        bigint      NOT NULL,
    released_units  bigint      NOT NULL,
    expired         bigint      NOT NULL,
    expired_units   bigint      NOT NULL,
    cancelled       bigint      NOT NULL,
    cancelled_units bigint      NOT NULL,
    PRIMARY KEY (resource_id, hour)
) WITH (fillfactor = 50);

-- How many lines (and units) of a resource's slots belong to bookings in each state, now.
CREATE TABLE read_model.booked (
    resource_id uuid   NOT NULL,
    state       text   NOT NULL,
    lines       bigint NOT NULL,
    units       bigint NOT NULL,
    PRIMARY KEY (resource_id, state)
) WITH (fillfactor = 50);

-- Which event made which version; the events themselves stay in the log. Of a slot that sells, versions
-- come by the hundred, so a row holds a part of them: `positions[version]`, the subscripts being the
-- versions, null where no event was taken in. Parts are cut by version and not by what came together,
-- so the same events make the same rows however they came.
CREATE TABLE read_model.slot_history (
    slot_id   uuid     NOT NULL,
    part      bigint   NOT NULL,    -- version / 32
    positions bigint[] NOT NULL,
    PRIMARY KEY (slot_id, part)
) WITH (fillfactor = 80);

-- From version 2 on: where the event stands that made a booking, the booking itself says
-- (created_position). Most bookings never get another.
CREATE TABLE read_model.booking_event (
    booking_id uuid   NOT NULL,
    version    bigint NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (booking_id, version)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON read_model.activity, read_model.booked,
    read_model.slot_history, read_model.booking_event TO projector_writer;
GRANT SELECT ON read_model.activity, read_model.booked, read_model.slot_history,
    read_model.booking_event TO query_reader;
