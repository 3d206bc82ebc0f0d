-- A command on its way through the database: as it arrives, as it is decided, and as it is answered.
-- Every accepted command keeps its answer, so that the same command gets the same answer again; every
-- refusal says where the log stood.

SET LOCAL ROLE booking_owner;

-- A command as it reaches the database. `command_id` is the idempotency key or an id the server
-- made; `fingerprint` says whether a repeated key asks for the same. `owner` is set for callers
-- that may only see one customer's bookings. `if_match` is null when nothing was asked.
CREATE TYPE booking.command AS (
    ordinal           integer,
    kind              text,
    caller            text,
    command_id        text,
    fingerprint       bytea,
    deadline          timestamptz,
    correlation_id    text,
    traceparent       text,
    owner             uuid,
    booking_id        uuid,
    customer_id       uuid,
    hold_seconds      integer,
    if_match          bigint[],
    slot_id           uuid,
    capacity          integer,
    overbooking_units integer
);

CREATE TYPE booking.requested_line AS (ordinal integer, slot_id uuid, units integer);

-- What a command is answered with. `outcome`: accepted, replayed, again (not decided yet: the holds
-- in `body` are past their time and are to expire first), or the slug of the refusal, whose members
-- stand in `body`.
CREATE TYPE booking.answer AS (
    ordinal    integer,
    outcome    text,
    status     integer,
    body       text,
    location   text,
    etag       bigint,
    epoch      uuid,
    "position" bigint,
    as_of      timestamptz
);

-- An accepted command. `event_type` is null when nothing happened (a repeat): then the booking, or
-- the slot, is answered as it is. `event_number` counts the events of the transaction from 1.
-- `booking_id` is null for a command about a slot.
CREATE TYPE booking.decision AS (
    ordinal         integer,
    kind            text,
    caller          text,
    command_id      text,
    fingerprint     bytea,
    correlation_id  text,
    traceparent     text,
    event_number    integer,
    event_type      text,
    booking_id      uuid,
    customer_id     uuid,
    customer_before uuid,
    state           text,
    before          text,
    version         bigint,
    expires_at      timestamptz
);

-- One slot of one decision: what the booking had of it and has now (`line_units`), the change of
-- held + confirmed (`units`), and the whole state after it. `version` is null for a line whose slot
-- the event does not touch.
CREATE TYPE booking.slot_change AS (
    ordinal           integer,
    slot_id           uuid,
    resource_id       uuid,
    units_before      integer,
    line_units        integer,
    units             integer,
    version           bigint,
    state             text,
    capacity          integer,
    overbooking_units integer,
    held              integer,
    confirmed         integer
);

-- A refusal. Where the log stands is added to all of a batch at its end.
CREATE FUNCTION booking.refusal(
    ordinal integer, slug text, status integer, members text, etag bigint DEFAULT NULL)
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN ROW(ordinal, slug, status, members, NULL, etag, NULL, NULL, NULL)::booking.answer;

CREATE FUNCTION booking.version_mismatch(ordinal integer, expected bigint[], actual bigint)
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN booking.refusal(ordinal, 'version-mismatch', 412,
    format('{"expected":[%s],"actual":%s}', array_to_string(expected, ','), actual), actual);

-- The answer given to a command, if it was accepted.
CREATE FUNCTION booking.recall(
    caller text, command_id text,
    OUT command text, OUT status integer, OUT location text, OUT etag bigint, OUT epoch uuid,
    OUT "position" bigint, OUT recorded_at timestamptz, OUT answer text, OUT fingerprint bytea)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT r.command, r.status, r.location, r.etag, r.epoch, r."position", r.recorded_at, r.answer,
           r.fingerprint
    FROM booking.command_record AS r
    WHERE r.caller = recall.caller AND r.command_id = recall.command_id
$$;

-- A refusal together with where the log stands. This function and the next two are for commands that
-- are decided one at a time (0010); a batch does the same for all of its commands at once.
CREATE FUNCTION booking.refuse(command booking.command, slug text, status integer, members text)
RETURNS SETOF booking.answer LANGUAGE sql STABLE AS $$
    SELECT command.ordinal, slug, status, members, NULL, NULL::bigint, head.epoch, head."position",
           greatest(head.recorded_at, transaction_timestamp())
    FROM booking.log_head AS head
$$;

-- The answer to a command whose id was seen before, or no row.
CREATE FUNCTION booking.replay(command booking.command) RETURNS SETOF booking.answer
LANGUAGE sql STABLE AS $$
    SELECT command.ordinal, 'replayed', r.status, r.answer, r.location, r.etag, r.epoch,
           r."position", r.recorded_at
    FROM booking.recall(command.caller, command.command_id) AS r
    WHERE r.fingerprint = command.fingerprint
    UNION ALL
    SELECT refusal.*
    FROM booking.recall(command.caller, command.command_id) AS r
    CROSS JOIN booking.refuse(replay.command, 'idempotency-key-reused', 422, '{}') AS refusal
    WHERE r.fingerprint <> command.fingerprint
$$;

-- Keep the answer of an accepted command, and give it.
CREATE FUNCTION booking.keep(
    command booking.command, status integer, location text, etag bigint, epoch uuid,
    "position" bigint, recorded_at timestamptz, body text)
RETURNS SETOF booking.answer LANGUAGE sql AS $$
    INSERT INTO booking.command_record (caller, command_id, fingerprint, command, status, location,
        etag, epoch, "position", recorded_at, answer)
    VALUES (command.caller, command.command_id, command.fingerprint, command.kind, status, location,
        etag, epoch, "position", recorded_at, body);
    SELECT command.ordinal, 'accepted', status, body, location, etag, epoch, "position", recorded_at
$$;
