-- How a decision becomes lasting: numbered events, bookings, lines and the answer to be repeated,
-- in the transaction that took or returned the units. Every guard, the product's and those the
-- laboratory compares it with, hands its decisions to `booking.record`; so arms differ in the
-- guard alone.

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

-- RFC 3339 in UTC, with six decimals or none, as all of the API writes moments.
CREATE FUNCTION booking.rfc3339(moment timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN to_char(moment AT TIME ZONE 'UTC',
    CASE WHEN date_trunc('second', moment) = moment
         THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END);

-- A JSON string or null, for the few values that are neither number nor id.
CREATE FUNCTION booking.json_moment(moment timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN coalesce('"' || booking.rfc3339(moment) || '"', 'null');

-- The state of a slot after an event, as the payload says it. STABLE like `format`, or it could not be
-- inlined and would be called per row.
CREATE FUNCTION booking.json_slot_change(c booking.slot_change) RETURNS text LANGUAGE sql STABLE
RETURN format('{"slot_id":"%s","resource_id":"%s","units":%s,"version":%s,"state":"%s",'
    '"capacity":%s,"overbooking_units":%s,"held":%s,"confirmed":%s,"remaining":%s}',
    (c).slot_id, (c).resource_id, (c).units, (c).version, (c).state, (c).capacity,
    (c).overbooking_units, (c).held, (c).confirmed,
    (c).capacity + (c).overbooking_units - (c).held - (c).confirmed);

-- The whole slot, as a command about slots answers it; without the closing brace.
CREATE FUNCTION booking.json_slot(
    c booking.slot_change, starts_at timestamptz, ends_at timestamptz)
RETURNS text LANGUAGE sql STABLE
RETURN format('{"slot_id":"%s","resource_id":"%s","starts_at":"%s","ends_at":"%s","state":"%s",'
    '"capacity":%s,"overbooking_units":%s,"held":%s,"confirmed":%s,"remaining":%s,"version":%s',
    (c).slot_id, (c).resource_id, booking.rfc3339(starts_at), booking.rfc3339(ends_at),
    (c).state, (c).capacity, (c).overbooking_units, (c).held, (c).confirmed,
    (c).capacity + (c).overbooking_units - (c).held - (c).confirmed, (c).version);

-- A line of a booking's answer; remaining and version are null where the event left the slot alone.
CREATE FUNCTION booking.json_answer_line(
    slot_id uuid, units integer, remaining integer, version bigint)
RETURNS text LANGUAGE sql STABLE
RETURN format('{"slot_id":"%s","units":%s,"remaining":%s,"version":%s}', slot_id, units,
    coalesce(remaining::text, 'null'), coalesce(version::text, 'null'));

CREATE FUNCTION booking.json_booking(
    booking_id uuid, customer_id uuid, state text, version bigint, expires_at timestamptz,
    "position" bigint, lines text) RETURNS text LANGUAGE sql STABLE
RETURN format('{"booking_id":"%s","customer_id":"%s","state":"%s","version":%s,"expires_at":%s,'
    '"position":%s,"lines":[%s]}',
    booking_id, customer_id, state, version, booking.json_moment(expires_at), "position", lines);

-- The positions of `events` new events: the last lock of every deciding transaction, held until its
-- commit. `recorded_at` is taken under it and never goes back, so it orders as positions do.
CREATE FUNCTION booking.number(
    events integer, OUT epoch uuid, OUT before_first bigint, OUT recorded_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE booking.log_head AS head
    SET "position" = head."position" + events,
        recorded_at = greatest(head.recorded_at, clock_timestamp())
    RETURNING head.epoch, head."position" - events, head.recorded_at
    INTO epoch, before_first, recorded_at;
END $$;

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

-- A booking as it is, told from its newest event: its answer, and that event's position and moment.
CREATE FUNCTION booking.booking_as_it_is(
    wanted uuid, OUT answer text, OUT "position" bigint, OUT recorded_at timestamptz)
LANGUAGE sql STABLE
-- From one booking to its lines and its event: booking.record, which calls it, prefers to join by hash
-- and would read the whole log.
SET enable_nestloop = on
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    SELECT booking.json_booking(b.booking_id, b.customer_id, b.state, b.version, b.expires_at,
               b."position", string_agg(
                   booking.json_answer_line(l.slot_id, l.units, c.remaining, c.version),
                   ',' ORDER BY l.slot_id)),
           b."position", e.recorded_at
    FROM booking.booking AS b
    JOIN booking.booking_line AS l USING (booking_id)
    JOIN booking.event_log AS e ON e."position" = b."position"
    LEFT JOIN json_to_recordset(e.slots) AS c(slot_id uuid, remaining integer, version bigint)
        ON c.slot_id = l.slot_id
    WHERE b.booking_id = wanted
    GROUP BY b.booking_id, e."position"
$$;

-- Write down what was decided, for all decisions of a transaction at once, and answer them. The
-- slots themselves were written by the guard. Whatever is unique (a key, a booking's id) is inserted
-- under the lock of the log's head, so two transactions never wait for each other over one: the
-- later of two equal keys fails with `command_decided_once`, nothing has happened, and when it is
-- run again it finds the answer.
CREATE FUNCTION booking.record(decisions booking.decision[], changes booking.slot_change[])
RETURNS SETOF booking.answer LANGUAGE plpgsql
-- Planned once per session, as in booking.decide.
SET enable_seqscan = off
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    events  integer := (SELECT count(event_number) FROM unnest(decisions));
    known   uuid[] := ARRAY(SELECT booking_id FROM unnest(decisions)
                            WHERE booking_id IS NOT NULL AND before IS NOT NULL);
    updated integer;
    numbers record;
    -- Ids of one call differ in their last four bytes only: drawing each anew would ask the kernel for
    -- chance once per event.
    family  bytea := substr(uuid_send(uuidv7()), 1, 12);
BEGIN
    IF decisions = '{}' THEN
        RETURN;
    END IF;
    IF events > 0 THEN
        SELECT * INTO numbers FROM booking.number(events);
    ELSE
        SELECT epoch, "position" AS before_first, recorded_at
        INTO numbers FROM booking.log_head FOR NO KEY UPDATE;
    END IF;

    INSERT INTO booking.booking (booking_id, customer_id, state, version, expires_at, "position")
    SELECT booking_id, customer_id, state, version, expires_at, numbers.before_first + event_number
    FROM unnest(decisions) WHERE booking_id IS NOT NULL AND before IS NULL;

    IF known <> '{}' THEN
        UPDATE booking.booking AS b
        SET customer_id = d.customer_id, state = d.state, version = d.version,
            expires_at = d.expires_at, "position" = numbers.before_first + d.event_number
        FROM unnest(decisions) AS d
        WHERE b.booking_id = d.booking_id AND b.version = d.version - 1 AND b.state = d.before
          AND b.booking_id = ANY (known) AND d.event_number IS NOT NULL AND d.before IS NOT NULL;
        GET DIAGNOSTICS updated = ROW_COUNT;
        IF updated <> (SELECT count(*) FROM unnest(decisions) WHERE booking_id = ANY (known)
                         AND event_number IS NOT NULL AND before IS NOT NULL) THEN
            RAISE EXCEPTION 'A booking changed between its lock and its write.';
        END IF;
        DELETE FROM booking.booking_line
        WHERE booking_id = ANY (ARRAY(SELECT booking_id FROM unnest(decisions)
                                      WHERE event_type = 'BookingRescheduled'));
    END IF;

    INSERT INTO booking.booking_line (booking_id, slot_id, units)
    SELECT d.booking_id, c.slot_id, c.line_units
    FROM unnest(decisions) AS d JOIN unnest(changes) AS c USING (ordinal)
    WHERE d.booking_id IS NOT NULL AND c.line_units > 0
      AND (d.before IS NULL OR d.event_type = 'BookingRescheduled');

    INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor, command_id,
        correlation_id, traceparent, booking_id, resource_id, slot_ids, slots, data)
    SELECT numbers.before_first + d.event_number,
           encode(family || int4send(d.event_number), 'hex')::uuid, d.event_type,
           numbers.recorded_at, d.caller, d.command_id, d.correlation_id, d.traceparent,
           d.booking_id, touched.resource_id, touched.slot_ids, coalesce('[' || touched.slots || ']', '[]')::json,
           (CASE
            WHEN d.booking_id IS NULL THEN '{}'
            WHEN d.event_type IN ('HoldPlaced', 'BookingConfirmed') THEN
                format('{"customer_id":"%s","state":"%s","version":%s,"expires_at":%s,'
                       '"lines":[%s],"before":%s}',
                    d.customer_id, d.state, d.version, booking.json_moment(d.expires_at),
                    touched.lines, coalesce('"' || d.before || '"', 'null'))
            WHEN d.event_type = 'HoldExtended' THEN
                format('{"version":%s,"expires_at":%s}',
                    d.version, booking.json_moment(d.expires_at))
            WHEN d.event_type = 'BookingRescheduled' THEN
                format('{"state":"%s","version":%s,"lines":[%s],"lines_before":[%s]}',
                    d.state, d.version, touched.lines, touched.lines_before)
            WHEN d.event_type = 'BookingTransferred' THEN
                format('{"version":%s,"customer_id":"%s","customer_id_before":"%s"}',
                    d.version, d.customer_id, d.customer_before)
            ELSE format('{"state":"%s","version":%s,"before":"%s"}', d.state, d.version, d.before)
            END)::json
    FROM unnest(decisions) AS d
    JOIN (SELECT c.ordinal,
                 -- of the slots it touches; of its lines, if it touches none
                 CASE WHEN count(DISTINCT c.resource_id) FILTER (WHERE c.version IS NOT NULL) = 1
                      THEN (array_agg(c.resource_id) FILTER (WHERE c.version IS NOT NULL))[1]
                      WHEN count(c.version) = 0 AND count(DISTINCT c.resource_id) = 1
                      THEN (array_agg(c.resource_id))[1] END AS resource_id,
                 array_remove(array_agg(CASE WHEN c.version IS NOT NULL THEN c.slot_id END
                                        ORDER BY c.slot_id), NULL) AS slot_ids,
                 string_agg(CASE WHEN c.version IS NOT NULL THEN booking.json_slot_change(c) END,
                            ',' ORDER BY c.slot_id) AS slots,
                 string_agg(CASE WHEN c.line_units > 0 THEN format('{"slot_id":"%s","units":%s}',
                            c.slot_id, c.line_units) END, ',' ORDER BY c.slot_id) AS lines,
                 string_agg(CASE WHEN c.units_before > 0 THEN format('{"slot_id":"%s","units":%s}',
                            c.slot_id, c.units_before) END, ',' ORDER BY c.slot_id) AS lines_before
          FROM unnest(changes) AS c GROUP BY c.ordinal) AS touched USING (ordinal)
    WHERE d.event_number IS NOT NULL;

    RETURN QUERY
    WITH answered AS MATERIALIZED (
        -- a booking to which something happened
        SELECT d.ordinal, d.caller, d.command_id, d.fingerprint, d.kind,
               CASE WHEN d.before IS NULL THEN 201 ELSE 200 END AS status,
               CASE WHEN d.before IS NULL THEN '/v1/bookings/' || d.booking_id END AS location,
               d.version AS etag, numbers.before_first + d.event_number AS "position",
               numbers.recorded_at,
               booking.json_booking(d.booking_id, d.customer_id, d.state, d.version, d.expires_at,
                   numbers.before_first + d.event_number, touched.lines) AS body
        FROM unnest(decisions) AS d
        JOIN (SELECT c.ordinal,
                     string_agg(booking.json_answer_line(c.slot_id, c.line_units,
                         CASE WHEN c.version IS NOT NULL THEN
                             c.capacity + c.overbooking_units - c.held - c.confirmed END,
                         c.version), ',' ORDER BY c.slot_id) AS lines
              FROM unnest(changes) AS c WHERE c.line_units > 0
              GROUP BY c.ordinal) AS touched USING (ordinal)
        WHERE d.event_number IS NOT NULL AND d.booking_id IS NOT NULL
        UNION ALL
        -- a booking as it is
        SELECT d.ordinal, d.caller, d.command_id, d.fingerprint, d.kind, 200, NULL, d.version,
               it."position", it.recorded_at, it.answer
        FROM unnest(decisions) AS d CROSS JOIN LATERAL booking.booking_as_it_is(d.booking_id) AS it
        WHERE d.event_number IS NULL AND d.booking_id IS NOT NULL
        UNION ALL
        -- a slot, changed or as it is after the events before
        SELECT d.ordinal, d.caller, d.command_id, d.fingerprint, d.kind, 200, NULL, d.version,
               numbers.before_first + d.so_far, numbers.recorded_at,
               format('%s,"position":%s}', booking.json_slot(c, s.starts_at, s.ends_at),
                      numbers.before_first + d.so_far)
        FROM (SELECT *, coalesce(max(event_number) OVER (ORDER BY ordinal), 0) AS so_far
              FROM unnest(decisions)) AS d
        JOIN unnest(changes) AS c USING (ordinal)
        JOIN booking.slot AS s ON s.slot_id = c.slot_id
        WHERE d.booking_id IS NULL
          AND s.slot_id = ANY (ARRAY(SELECT slot_id FROM unnest(changes)))
    ), kept AS (
        -- What the system asks of itself carries no fingerprint and is never repeated.
        INSERT INTO booking.command_record (caller, command_id, fingerprint, command, status,
            location, etag, epoch, "position", recorded_at, answer)
        SELECT caller, command_id, fingerprint, kind, status, location, etag, numbers.epoch,
               "position", recorded_at, body
        FROM answered WHERE fingerprint IS NOT NULL
    )
    SELECT ordinal, 'accepted', status, body, location, etag, numbers.epoch, "position",
           recorded_at
    FROM answered;
END $$;
