-- What the write side knows: resources, slots, bookings with their lines, the event log, and the
-- record of every accepted command. Constraints are named as rules, because the name comes back
-- as the error. Foreign keys stand where they cost nothing; on the hot path one function writes
-- parent and child together.

SET LOCAL ROLE booking_owner;

CREATE TABLE booking.resource (
    resource_id            uuid    NOT NULL,
    name                   text    NOT NULL,
    time_zone              text    NOT NULL,
    hold_seconds           integer NOT NULL,
    units_per_booking_max  integer,
    units_per_customer_max integer,
    overbooking_units      integer NOT NULL,
    version                bigint  NOT NULL,
    CONSTRAINT resource_id_taken PRIMARY KEY (resource_id)
);

-- The row everybody wants. It is written once per batch, in place: half of each page stays free so
-- that the new version finds room beside the old one and no index is touched.
CREATE TABLE booking.slot (
    slot_id           uuid        NOT NULL,
    resource_id       uuid        NOT NULL,
    starts_at         timestamptz NOT NULL,
    ends_at           timestamptz NOT NULL,
    state             text        NOT NULL,
    capacity          integer     NOT NULL,
    overbooking_units integer     NOT NULL,
    held              integer     NOT NULL,
    confirmed         integer     NOT NULL,
    version           bigint      NOT NULL,
    CONSTRAINT slot_id_taken PRIMARY KEY (slot_id),
    CONSTRAINT slot_of_a_resource FOREIGN KEY (resource_id) REFERENCES booking.resource,
    CONSTRAINT slot_ends_after_it_starts CHECK (starts_at < ends_at),
    CONSTRAINT slot_open_or_closed CHECK (state IN ('open', 'closed')),
    CONSTRAINT slot_counts_never_negative CHECK (held >= 0 AND confirmed >= 0),
    -- The last line of defence. The first is the condition in the write (booking.decide).
    CONSTRAINT slot_never_oversold CHECK (held + confirmed <= capacity + overbooking_units)
) WITH (fillfactor = 50);

CREATE TABLE booking.booking (
    booking_id  uuid        NOT NULL,
    customer_id uuid        NOT NULL,
    state       text        NOT NULL,
    version     bigint      NOT NULL,
    expires_at  timestamptz,
    "position"  bigint      NOT NULL,  -- of its newest event
    CONSTRAINT booking_id_taken PRIMARY KEY (booking_id),
    CONSTRAINT booking_in_a_known_state
        CHECK (state IN ('held', 'confirmed', 'released', 'expired', 'cancelled')),
    CONSTRAINT only_a_hold_expires CHECK ((state = 'held') = (expires_at IS NOT NULL))
) WITH (fillfactor = 80);

CREATE TABLE booking.booking_line (
    booking_id uuid    NOT NULL,
    slot_id    uuid    NOT NULL,
    units      integer NOT NULL,
    CONSTRAINT one_line_per_slot PRIMARY KEY (booking_id, slot_id),
    CONSTRAINT line_has_units CHECK (units > 0)
);

-- What a customer has of a slot in live bookings, kept only where a policy limits it.
CREATE TABLE booking.customer_use (
    slot_id     uuid    NOT NULL,
    customer_id uuid    NOT NULL,
    units       integer NOT NULL,
    CONSTRAINT one_use_per_customer PRIMARY KEY (slot_id, customer_id),
    CONSTRAINT use_never_negative CHECK (units >= 0)
);

-- Finds holds past their time, oldest first.
CREATE INDEX holds_by_expiry ON booking.booking (expires_at, booking_id) WHERE state = 'held';

-- The event log: append-only, dense positions in commit order. `slots` and `data` are the members
-- of the published payload, kept as text because nobody here reads inside them. Events of long stays
-- are stored as they are: compressing them took a twelfth of the deciding time.
CREATE TABLE booking.event_log (
    "position"     bigint      NOT NULL,
    event_id       uuid        NOT NULL DEFAULT uuidv7(),
    type           text        NOT NULL,
    schema         smallint    NOT NULL DEFAULT 1,
    recorded_at    timestamptz NOT NULL,
    actor          text        NOT NULL,
    command_id     text        NOT NULL,
    correlation_id text,
    traceparent    text,
    booking_id     uuid,
    resource_id    uuid,                 -- null when slots of several resources are touched
    slot_ids       uuid[]      NOT NULL,
    slots          json        NOT NULL,
    data           json        NOT NULL,
    CONSTRAINT one_event_per_position PRIMARY KEY ("position")
) WITH (toast_tuple_target = 8160);

CREATE FUNCTION booking.refuse_to_change_the_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The event log is append-only.';
END $$;

CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON booking.event_log
    FOR EACH STATEMENT EXECUTE FUNCTION booking.refuse_to_change_the_log();

-- One row: where the log ends. Locked last by every deciding transaction, which makes positions
-- dense and commit-ordered: no reader can ever pass one by.
CREATE TABLE booking.log_head (
    only_row          boolean     NOT NULL DEFAULT true,
    epoch             uuid        NOT NULL,
    "position"        bigint      NOT NULL,
    recorded_at       timestamptz NOT NULL,
    last_line_removed boolean     NOT NULL DEFAULT false,  -- the laboratory's mark
    CONSTRAINT one_log PRIMARY KEY (only_row),
    CONSTRAINT one_log_only CHECK (only_row)
) WITH (fillfactor = 10);

INSERT INTO booking.log_head (epoch, "position", recorded_at)
VALUES (uuidv7(), 0, clock_timestamp());

-- Every accepted command with its answer, byte for byte. Refusals are not kept: they may be
-- tried again.
CREATE TABLE booking.command_record (
    caller      text        NOT NULL,
    command_id  text        NOT NULL,
    fingerprint bytea       NOT NULL,
    command     text        NOT NULL,
    status      integer     NOT NULL,
    location    text,
    etag        bigint,
    epoch       uuid        NOT NULL,
    "position"  bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    answer      text        NOT NULL,
    -- Not recorded_at: a repeat may be answered from an event of long ago and is kept as long as others.
    kept_since  timestamptz NOT NULL DEFAULT transaction_timestamp(),
    -- Keys differ, callers are mostly one: with the key first, a search compares one text and not two.
    CONSTRAINT command_decided_once PRIMARY KEY (command_id, caller)
);

-- Finds the records to forget.
CREATE INDEX records_by_age ON booking.command_record (kept_since);

CREATE TABLE booking.api_key (
    key_id      uuid        NOT NULL DEFAULT uuidv7(),
    name        text        NOT NULL,
    sha256      bytea       NOT NULL,
    scopes      text[]      NOT NULL,
    customer_id uuid,                    -- for bookings:own
    rate_per_s  integer,                 -- null: the process's default
    burst       integer,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at  timestamptz,
    CONSTRAINT api_key_known_once PRIMARY KEY (key_id),
    CONSTRAINT api_key_name_taken UNIQUE (name),
    CONSTRAINT api_key_made_once UNIQUE (sha256),
    CONSTRAINT api_key_scopes_known CHECK (scopes <@ ARRAY[
        'inventory:write', 'bookings:write', 'bookings:own', 'read', 'operate']),
    CONSTRAINT own_bookings_need_a_customer
        CHECK (('bookings:own' = ANY (scopes)) = (customer_id IS NOT NULL))
);

-- What signs consistency tokens. Three random ids hold more than the 256 bits that are kept.
CREATE TABLE booking.token_secret (
    only_row boolean NOT NULL DEFAULT true,
    secret   bytea   NOT NULL,
    CONSTRAINT one_secret PRIMARY KEY (only_row),
    CONSTRAINT one_secret_only CHECK (only_row)
);

INSERT INTO booking.token_secret (secret)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
               || uuid_send(gen_random_uuid())));

GRANT USAGE ON SCHEMA booking TO booking_writer, booking_relay;
GRANT SELECT, INSERT, UPDATE ON booking.resource, booking.slot, booking.booking, booking.api_key
    TO booking_writer;
-- A line is replaced, never changed; a record is kept as it is, or forgotten.
GRANT SELECT, INSERT, DELETE ON booking.booking_line, booking.command_record TO booking_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON booking.customer_use TO booking_writer;
GRANT SELECT, INSERT ON booking.event_log TO booking_writer;
GRANT SELECT, UPDATE ("position", recorded_at) ON booking.log_head TO booking_writer;
GRANT SELECT ON booking.token_secret TO booking_writer;
GRANT SELECT ON booking.event_log, booking.log_head TO booking_relay;
