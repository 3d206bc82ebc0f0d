-- How a decision becomes lasting: numbered events, bookings, lines and the answer to be repeated, in
-- the transaction that took or returned the units. Every guard, the product's and those the laboratory
-- compares it with, hands its decisions to `booking.record`; so arms differ in the guard alone.

SET LOCAL ROLE booking_owner;

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

-- The data of a booking's event, as the payload says it.
CREATE FUNCTION booking.json_event_data(d booking.decision, lines text, lines_before text)
RETURNS text LANGUAGE sql STABLE
RETURN CASE
    WHEN (d).booking_id IS NULL THEN '{}'
    WHEN (d).event_type IN ('HoldPlaced', 'BookingConfirmed') THEN
        format('{"customer_id":"%s","state":"%s","version":%s,"expires_at":%s,"lines":[%s],"before":%s}',
            (d).customer_id, (d).state, (d).version, booking.json_moment((d).expires_at), lines,
            coalesce('"' || (d).before || '"', 'null'))
    WHEN (d).event_type = 'HoldExtended' THEN
        format('{"version":%s,"expires_at":%s}', (d).version, booking.json_moment((d).expires_at))
    WHEN (d).event_type = 'BookingRescheduled' THEN
        format('{"state":"%s","version":%s,"lines":[%s],"lines_before":[%s]}',
            (d).state, (d).version, lines, lines_before)
    WHEN (d).event_type = 'BookingTransferred' THEN
        format('{"version":%s,"customer_id":"%s","customer_id_before":"%s"}',
            (d).version, (d).customer_id, (d).customer_before)
    ELSE format('{"state":"%s","version":%s,"before":"%s"}', (d).state, (d).version, (d).before)
    END;

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

-- A booking as it is, told from its newest event: its answer, and that event's position and moment.
CREATE FUNCTION booking.booking_as_it_is(
    wanted uuid, OUT answer text, OUT "position" bigint, OUT recorded_at timestamptz)
LANGUAGE sql STABLE
-- From one booking to its lines and its event: booking.record, for which it is called, prefers to join by
-- hash and would read the whole log.
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

-- The bookings there are take their new state. Each was locked and judged in this transaction, so
-- all must be as they were; lines that a reschedule replaces go first.
CREATE FUNCTION booking.change_bookings(decisions booking.decision[], before_first bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known   uuid[] := ARRAY(SELECT booking_id FROM unnest(decisions)
                            WHERE before IS NOT NULL AND event_number IS NOT NULL);
    changed integer;
BEGIN
    UPDATE booking.booking AS b
    SET customer_id = d.customer_id, state = d.state, version = d.version,
        expires_at = d.expires_at, "position" = before_first + d.event_number
    FROM unnest(decisions) AS d
    WHERE b.booking_id = d.booking_id AND b.version = d.version - 1 AND b.state = d.before
      AND b.booking_id = ANY (known) AND d.event_number IS NOT NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(known) THEN
        RAISE EXCEPTION 'A booking changed between its lock and its write.';
    END IF;
    DELETE FROM booking.booking_line
    WHERE booking_id = ANY (ARRAY(SELECT booking_id FROM unnest(decisions)
                                  WHERE event_type = 'BookingRescheduled'));
END $$;

-- Write all that happened: each decision is told once, as its event and as its answer, and written
-- from there. Answers about bookings are returned; those about slots come from booking.as_it_is_now.
CREATE FUNCTION booking.write_events(
    decisions booking.decision[], changes booking.slot_change[],
    epoch uuid, before_first bigint, recorded_at timestamptz)
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    -- Ids of one call differ in their last four bytes only: drawing each anew would ask the kernel
    -- for chance once per event.
    family bytea := substr(uuid_send(uuidv7()), 1, 12);
BEGIN
    RETURN QUERY
    WITH told AS MATERIALIZED (
        SELECT d.*, before_first + d.event_number AS "position", touched.slot_ids,
               -- of the slots it touches; of its lines, if it touches none
               CASE WHEN touched.resources[1] = ALL (touched.resources) THEN touched.resources[1]
                    WHEN touched.resources IS NULL
                     AND touched.of_lines[1] = ALL (touched.of_lines) THEN touched.of_lines[1]
               END AS resource_id,
               '[' || touched.slots || ']' AS slots,
               booking.json_event_data(d, touched.lines, touched.lines_before) AS data,
               booking.json_booking(d.booking_id, d.customer_id, d.state, d.version, d.expires_at,
                   before_first + d.event_number, touched.answer_lines) AS answer
        FROM unnest(decisions) AS d
        JOIN (SELECT c.ordinal,
                     array_agg(c.resource_id ORDER BY c.slot_id) AS of_lines,
                     array_agg(c.resource_id ORDER BY c.slot_id)
                         FILTER (WHERE c.version IS NOT NULL) AS resources,
                     array_agg(c.slot_id ORDER BY c.slot_id)
                         FILTER (WHERE c.version IS NOT NULL) AS slot_ids,
                     -- CASE and not FILTER, so that one sort serves all of these.
                     string_agg(CASE WHEN c.version IS NOT NULL THEN
                         booking.json_slot_change(c) END, ',' ORDER BY c.slot_id) AS slots,
                     string_agg(CASE WHEN c.line_units > 0 THEN
                         format('{"slot_id":"%s","units":%s}', c.slot_id, c.line_units) END,
                         ',' ORDER BY c.slot_id) AS lines,
                     string_agg(CASE WHEN c.units_before > 0 THEN
                         format('{"slot_id":"%s","units":%s}', c.slot_id, c.units_before) END,
                         ',' ORDER BY c.slot_id) AS lines_before,
                     string_agg(CASE WHEN c.line_units > 0 THEN
                         booking.json_answer_line(c.slot_id, c.line_units,
                             c.capacity + c.overbooking_units - c.held - c.confirmed, c.version) END,
                         ',' ORDER BY c.slot_id) AS answer_lines
              FROM unnest(changes) AS c GROUP BY c.ordinal) AS touched USING (ordinal)
        WHERE d.event_number IS NOT NULL
    ), made AS (
        INSERT INTO booking.booking (booking_id, customer_id, state, version, expires_at, "position")
        SELECT booking_id, customer_id, state, version, expires_at, "position"
        FROM told WHERE booking_id IS NOT NULL AND before IS NULL
    ), lined AS (
        INSERT INTO booking.booking_line (booking_id, slot_id, units)
        SELECT told.booking_id, c.slot_id, c.line_units
        FROM told JOIN unnest(changes) AS c USING (ordinal)
        WHERE told.booking_id IS NOT NULL AND c.line_units > 0
          AND (told.before IS NULL OR told.event_type = 'BookingRescheduled')
    ), logged AS (
        INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor, command_id,
            correlation_id, traceparent, booking_id, resource_id, slot_ids, slots, data)
        SELECT "position", encode(family || int4send(event_number), 'hex')::uuid, event_type,
               recorded_at, caller, command_id, correlation_id, traceparent, booking_id,
               resource_id, coalesce(slot_ids, '{}'), coalesce(slots, '[]')::json, data::json
        FROM told
    ), kept AS (
        -- What the system asks of itself carries no fingerprint and is never repeated.
        INSERT INTO booking.command_record (caller, command_id, fingerprint, command, status,
            location, etag, epoch, "position", recorded_at, answer)
        SELECT caller, command_id, fingerprint, kind, CASE WHEN before IS NULL THEN 201 ELSE 200 END,
               CASE WHEN before IS NULL THEN '/v1/bookings/' || booking_id END, version, epoch,
               "position", recorded_at, answer
        FROM told WHERE booking_id IS NOT NULL AND fingerprint IS NOT NULL
    )
    SELECT ordinal, 'accepted', CASE WHEN before IS NULL THEN 201 ELSE 200 END, answer,
           CASE WHEN before IS NULL THEN '/v1/bookings/' || booking_id END, version, epoch,
           "position", recorded_at
    FROM told WHERE booking_id IS NOT NULL;
END $$;

-- Answer what tells of no event of its own: a booking to which nothing happened, as it is; a slot,
-- changed or as it is, after the events before.
CREATE FUNCTION booking.as_it_is_now(
    decisions booking.decision[], changes booking.slot_change[],
    epoch uuid, before_first bigint, recorded_at timestamptz)
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH answered AS MATERIALIZED (
        SELECT d.ordinal, d.caller, d.command_id, d.fingerprint, d.kind, d.version AS etag,
               it."position", it.recorded_at, it.answer AS body
        FROM unnest(decisions) AS d CROSS JOIN LATERAL booking.booking_as_it_is(d.booking_id) AS it
        WHERE d.event_number IS NULL AND d.booking_id IS NOT NULL
        UNION ALL
        SELECT d.ordinal, d.caller, d.command_id, d.fingerprint, d.kind, d.version,
               before_first + d.so_far, recorded_at,
               format('%s,"position":%s}', booking.json_slot(c, s.starts_at, s.ends_at),
                      before_first + d.so_far)
        FROM (SELECT *, coalesce(max(event_number) OVER (ORDER BY ordinal), 0) AS so_far
              FROM unnest(decisions)) AS d
        JOIN unnest(changes) AS c USING (ordinal)
        JOIN booking.slot AS s ON s.slot_id = c.slot_id
        WHERE d.booking_id IS NULL
          AND s.slot_id = ANY (ARRAY(SELECT slot_id FROM unnest(changes)))
    ), kept AS (
        INSERT INTO booking.command_record (caller, command_id, fingerprint, command, status,
            location, etag, epoch, "position", recorded_at, answer)
        SELECT caller, command_id, fingerprint, kind, 200, NULL, etag, epoch, "position",
               recorded_at, body
        FROM answered WHERE fingerprint IS NOT NULL
    )
    SELECT ordinal, 'accepted', 200, body, NULL::text, etag, epoch, "position", recorded_at
    FROM answered;
END $$;

-- Write down what was decided, for all decisions of a transaction at once, and answer them. The
-- slots themselves were written by the guard. Whatever is unique (a key, a booking's id) is inserted
-- under the lock of the log's head, so two transactions never wait for each other over one: the
-- later of two equal keys fails with `command_decided_once`, nothing has happened, and when it is
-- run again it finds the answer.
CREATE FUNCTION booking.record(
    decisions booking.decision[], changes booking.slot_change[])
RETURNS SETOF booking.answer LANGUAGE plpgsql
-- Planned once per session, as in booking.decide.
SET enable_seqscan = off
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    tally  record;
    number record;
BEGIN
    IF decisions = '{}' THEN
        RETURN;
    END IF;
    SELECT count(event_number) AS events,
           count(event_number) FILTER (WHERE before IS NOT NULL) AS of_known_bookings,
           count(event_number) FILTER (WHERE booking_id IS NOT NULL) AS of_bookings
    INTO tally FROM unnest(decisions);

    IF tally.events > 0 THEN
        SELECT * INTO number FROM booking.number(tally.events::integer);
    ELSE
        SELECT epoch, "position" AS before_first, recorded_at
        INTO number FROM booking.log_head FOR NO KEY UPDATE;
    END IF;
    IF tally.of_known_bookings > 0 THEN
        PERFORM booking.change_bookings(decisions, number.before_first);
    END IF;
    IF tally.events > 0 THEN
        RETURN QUERY SELECT * FROM booking.write_events(
            decisions, changes, number.epoch, number.before_first, number.recorded_at);
    END IF;
    IF tally.of_bookings < cardinality(decisions) THEN
        RETURN QUERY SELECT * FROM booking.as_it_is_now(
            decisions, changes, number.epoch, number.before_first, number.recorded_at);
    END IF;
END $$;
