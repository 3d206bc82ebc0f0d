-- The guard of the product: `booking.decide` answers a whole batch of booking commands in one
-- call, which is one transaction. No client round trip lies between the first lock and the commit,
-- so a paused process can never hold up the others.
--
-- Its steps are separate statements on purpose. Under READ COMMITTED each sees everything that was
-- committed before it began, so what is judged is what is locked. One clever statement that locks
-- and judges at once would judge the picture from before it waited.
--
-- Lock order, the same for every command and every process: slots by id, bookings by id, head of
-- the log. Two batches can therefore wait for each other, but never in a circle.

SET LOCAL ROLE booking_owner;

CREATE FUNCTION booking.refusal(
    ordinal integer, slug text, status integer, members text, etag bigint DEFAULT NULL)
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN ROW(ordinal, slug, status, members, NULL, etag, NULL, NULL, NULL)::booking.answer;

CREATE FUNCTION booking.decide(commands booking.command[], lines booking.requested_line[])
RETURNS SETOF booking.answer LANGUAGE plpgsql
-- Planned once per session, whatever tables and batch look like then: tables are reached by index,
-- lists are joined by hash. Left to itself the planner keeps a plan made for short lists (256 commands
-- of 32 lines: 900 ms instead of 150) or plans every call anew (a single command: 1.0 ms instead of 0.6).
SET enable_seqscan = off
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    existing   uuid[];  -- the bookings this batch is about, without those it makes
    -- The locked slots, by their index in slot_ids, and what the batch has made of them so far.
    slot_ids   uuid[];
    slots      booking.slot[];
    longest    integer[];  -- hold_seconds of the slot's resource
    now_held      integer[];
    now_confirmed integer[];
    now_version   bigint[];
    decisions  booking.decision[] := '{}';
    changes    booking.slot_change[] := '{}';
    answers    booking.answer[] := '{}';
    events     integer := 0;
    c          record;     -- the command being decided, its booking and its lines
    state_now  text;
    hold       integer;
    moment     timestamptz;
    failing    text;
    sign_held  integer;    -- what becomes of held and confirmed, per unit of a line
    sign_conf  integer;
    i          integer;
    n          integer;
    written    integer;
BEGIN
    -- 1. Lock. Lines of an existing booking are read to learn its slots; nothing changes them. A new
    --    booking has nothing to lock: if its id is taken meanwhile, `booking_id_taken` says so.
    existing := ARRAY(SELECT booking_id FROM unnest(commands)
                      WHERE kind NOT IN ('PlaceHold', 'BookNow'));
    slot_ids := ARRAY(
        SELECT slot_id FROM unnest(lines)
        UNION
        SELECT l.slot_id FROM booking.booking_line AS l
        WHERE l.booking_id = ANY (existing)
        ORDER BY slot_id);
    PERFORM FROM booking.slot WHERE slot_id = ANY (slot_ids) ORDER BY slot_id FOR NO KEY UPDATE;
    PERFORM FROM booking.booking
    WHERE booking_id = ANY (existing) ORDER BY booking_id FOR NO KEY UPDATE;

    -- 2. Look, with a snapshot that shows what is locked.
    SELECT array_agg(s.slot_id ORDER BY s.slot_id), array_agg(s ORDER BY s.slot_id),
           array_agg(r.hold_seconds ORDER BY s.slot_id), array_agg(s.held ORDER BY s.slot_id),
           array_agg(s.confirmed ORDER BY s.slot_id), array_agg(s.version ORDER BY s.slot_id)
    INTO slot_ids, slots, longest, now_held, now_confirmed, now_version
    FROM booking.slot AS s JOIN booking.resource AS r USING (resource_id)
    WHERE s.slot_id = ANY (slot_ids)
      AND r.resource_id = ANY (ARRAY(SELECT resource_id FROM booking.slot
                                     WHERE slot_id = ANY (slot_ids)));

    -- 3. Decide each command on its own, in the order of arrival, on what the earlier ones left.
    moment := clock_timestamp();
    FOR c IN
        SELECT command.*, booking.booking_id IS NOT NULL AS known, booking.state,
               booking.version AS booking_version, booking.customer_id AS booking_customer,
               booking.expires_at, wanted.line_slots, wanted.indexes, wanted.units,
               earlier.fingerprint AS recorded_fingerprint, earlier.status, earlier.answer,
               earlier.location, earlier.etag, earlier.epoch, earlier."position",
               earlier.recorded_at
        FROM unnest(commands) AS command
        LEFT JOIN LATERAL (SELECT * FROM booking.booking AS b
                           WHERE b.booking_id = command.booking_id OFFSET 0) AS booking ON true
        LEFT JOIN LATERAL (SELECT * FROM booking.recall(command.caller, command.command_id)
                           OFFSET 0) AS earlier ON true
        LEFT JOIN (
            SELECT line.ordinal, array_agg(line.slot_id ORDER BY line.slot_id) AS line_slots,
                   array_agg(place.index ORDER BY line.slot_id) AS indexes,
                   array_agg(line.units ORDER BY line.slot_id) AS units
            FROM (SELECT ordinal, slot_id, units FROM unnest(lines)
                  UNION ALL
                  SELECT command.ordinal, l.slot_id, l.units
                  FROM unnest(commands) AS command
                  JOIN booking.booking_line AS l USING (booking_id)
                  WHERE command.kind NOT IN ('PlaceHold', 'BookNow')
                    AND l.booking_id = ANY (existing)
                 ) AS line
            LEFT JOIN unnest(slot_ids) WITH ORDINALITY AS place(slot_id, index) USING (slot_id)
            GROUP BY line.ordinal) AS wanted USING (ordinal)
        ORDER BY command.ordinal
    LOOP
        n := coalesce(cardinality(c.indexes), 0);

        -- Asked before: the same answer, or a refusal to answer another question under its name.
        IF c.recorded_fingerprint IS NOT NULL THEN
            answers := answers || CASE
                WHEN c.recorded_fingerprint = c.fingerprint THEN
                    ROW(c.ordinal, 'replayed', c.status, c.answer, c.location, c.etag, c.epoch,
                        c."position", c.recorded_at)::booking.answer
                ELSE booking.refusal(c.ordinal, 'idempotency-key-reused', 422, '{}') END;
            CONTINUE;
        END IF;

        -- Too late: the client has been told, or will be, that this did not happen.
        IF c.deadline < moment THEN
            answers := answers || booking.refusal(c.ordinal, 'not-decided', 503, '{}');
            CONTINUE;
        END IF;

        IF c.kind IN ('PlaceHold', 'BookNow') THEN
            -- A new booking: all lines or none; the first kind of refusal that applies is given.
            IF array_position(c.indexes, NULL) IS NOT NULL THEN
                answers := answers || booking.refusal(c.ordinal, 'slot-not-found', 404,
                    (SELECT format('{"lines":[%s]}', string_agg(format(
                        '{"slot_id":"%s","requested":%s}', c.line_slots[k], c.units[k]), ','
                        ORDER BY k))
                     FROM generate_series(1, n) AS k WHERE c.indexes[k] IS NULL));
                CONTINUE;
            END IF;
            IF c.kind = 'PlaceHold' THEN
                hold := (SELECT min(longest[i]) FROM unnest(c.indexes) AS i);
                IF c.hold_seconds > hold THEN
                    answers := answers || booking.refusal(c.ordinal, 'hold-too-long', 409,
                        format('{"limit":%s}', hold));
                    CONTINUE;
                END IF;
            END IF;
            failing := NULL;
            FOR k IN 1..n LOOP
                i := c.indexes[k];
                IF slots[i].state <> 'open' OR slots[i].ends_at <= moment THEN
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"version":%s}',
                        slot_ids[i], c.units[k], now_version[i]));
                END IF;
            END LOOP;
            IF failing IS NOT NULL THEN
                answers := answers || booking.refusal(c.ordinal, 'slot-closed', 409,
                    format('{"lines":[%s]}', failing));
                CONTINUE;
            END IF;
            FOR k IN 1..n LOOP
                i := c.indexes[k];
                IF now_held[i] + now_confirmed[i] + c.units[k]
                   > slots[i].capacity + slots[i].overbooking_units THEN
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"remaining":%s,"version":%s}',
                        slot_ids[i], c.units[k], slots[i].capacity + slots[i].overbooking_units
                            - now_held[i] - now_confirmed[i], now_version[i]));
                END IF;
            END LOOP;
            IF failing IS NOT NULL THEN
                answers := answers || booking.refusal(c.ordinal, 'capacity-exceeded', 409,
                    format('{"lines":[%s]}', failing));
                CONTINUE;
            END IF;
            IF c.known THEN
                answers := answers || booking.refusal(c.ordinal, 'already-exists', 409,
                    format('{"booking_id":"%s"}', c.booking_id), c.booking_version);
                CONTINUE;
            END IF;
            IF c.kind = 'PlaceHold' THEN
                sign_held := 1;
                sign_conf := 0;
                state_now := 'held';
            ELSE
                sign_held := 0;
                sign_conf := 1;
                state_now := 'confirmed';
            END IF;
            events := events + 1;
            decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id, c.fingerprint,
                c.correlation_id, c.traceparent, events,
                CASE c.kind WHEN 'PlaceHold' THEN 'HoldPlaced' ELSE 'BookingConfirmed' END,
                c.booking_id, c.customer_id, state_now, NULL, 1,
                CASE c.kind WHEN 'PlaceHold' THEN
                    moment + make_interval(secs => coalesce(c.hold_seconds, hold)) END
                )::booking.decision;
        ELSE
            -- An existing booking leaves its state once: the table of transitions of the contract.
            IF NOT c.known OR c.booking_customer <> c.owner THEN
                answers := answers || booking.refusal(c.ordinal, 'booking-not-found', 404,
                    format('{"booking_id":"%s"}', c.booking_id));
                CONTINUE;
            END IF;
            IF NOT c.booking_version = ANY (c.if_match) THEN
                answers := answers || booking.refusal(c.ordinal, 'version-mismatch', 412,
                    format('{"expected":[%s],"actual":%s}', array_to_string(c.if_match, ','),
                        c.booking_version), c.booking_version);
                CONTINUE;
            END IF;
            state_now := CASE c.kind WHEN 'ConfirmBooking' THEN 'confirmed'
                                     WHEN 'ReleaseHold' THEN 'released' ELSE 'cancelled' END;
            IF c.state = state_now THEN
                decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id,
                    c.fingerprint, c.correlation_id, c.traceparent, NULL, NULL, c.booking_id,
                    c.booking_customer, c.state, c.state, c.booking_version, c.expires_at
                    )::booking.decision;
                CONTINUE;
            END IF;
            IF NOT (c.state = 'held' OR c.state = 'confirmed' AND c.kind = 'CancelBooking') THEN
                answers := answers || booking.refusal(c.ordinal, 'wrong-state', 409,
                    format('{"booking_id":"%s","state":"%s","version":%s,"allowed":[%s]}',
                        c.booking_id, c.state, c.booking_version,
                        CASE c.kind WHEN 'CancelBooking' THEN '"held","confirmed"'
                                    ELSE '"held"' END), c.booking_version);
                CONTINUE;
            END IF;
            sign_held := CASE c.state WHEN 'held' THEN -1 ELSE 0 END;
            sign_conf := CASE WHEN c.kind = 'ConfirmBooking' THEN 1
                              WHEN c.state = 'confirmed' THEN -1 ELSE 0 END;
            events := events + 1;
            decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id, c.fingerprint,
                c.correlation_id, c.traceparent, events,
                CASE c.kind WHEN 'ConfirmBooking' THEN 'BookingConfirmed'
                            WHEN 'ReleaseHold' THEN 'HoldReleased' ELSE 'BookingCancelled' END,
                c.booking_id, c.booking_customer, state_now, c.state, c.booking_version + 1, NULL
                )::booking.decision;
        END IF;

        FOR k IN 1..n LOOP
            i := c.indexes[k];
            now_held[i] := now_held[i] + sign_held * c.units[k];
            now_confirmed[i] := now_confirmed[i] + sign_conf * c.units[k];
            now_version[i] := now_version[i] + 1;
            changes := changes || ROW(c.ordinal, slot_ids[i], slots[i].resource_id, c.units[k],
                (sign_held + sign_conf) * c.units[k], now_version[i], slots[i].state,
                slots[i].capacity, slots[i].overbooking_units, now_held[i], now_confirmed[i]
                )::booking.slot_change;
        END LOOP;
    END LOOP;

    -- 4. Write each touched slot once, however many commands it served, and only if it is still as
    --    it was judged and has the units. This condition is the guard; the rest is bookkeeping.
    n := (SELECT count(DISTINCT slot_id) FROM unnest(changes));
    IF n > 0 THEN
        UPDATE booking.slot AS s
        SET held = s.held + d.held, confirmed = s.confirmed + d.confirmed, version = d.version
        FROM (SELECT was.slot_id, was.version AS locked_version, now.version,
                     now.held - was.held AS held, now.confirmed - was.confirmed AS confirmed
              FROM unnest(slots) WITH ORDINALITY AS was
              JOIN unnest(now_held, now_confirmed, now_version) WITH ORDINALITY AS now(held, confirmed, version)
                USING (ordinality)) AS d
        WHERE s.slot_id = d.slot_id AND s.slot_id = ANY (slot_ids)
          AND d.version > d.locked_version
          AND s.version = d.locked_version
          AND s.held + d.held + s.confirmed + d.confirmed <= s.capacity + s.overbooking_units;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> n THEN
            RAISE EXCEPTION 'A slot changed between its lock and its write.';
        END IF;
    END IF;

    -- 5. Record and number what was accepted; refusals are told where the log stands.
    RETURN QUERY SELECT * FROM booking.record(decisions, changes);
    RETURN QUERY
    SELECT a.ordinal, a.outcome, a.status, a.body, a.location, a.etag,
           coalesce(a.epoch, head.epoch), coalesce(a."position", head."position"),
           coalesce(a.as_of, greatest(head.recorded_at, transaction_timestamp()))
    FROM unnest(answers) AS a CROSS JOIN booking.log_head AS head;
END $$;
