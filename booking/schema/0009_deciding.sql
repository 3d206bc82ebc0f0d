-- The guard of the product: `booking.decide`, at the end, answers a whole batch of commands about slots
-- and bookings in one call, which is one transaction. No client round trip lies between the first lock
-- and the commit, so a paused process can never hold up the others.
--
-- Its steps: lock, look up, judge each command on what the earlier ones left, reclaim, write, record,
-- number, and look whether the rules are still those it was judged by. They are separate statements on
-- purpose. Under READ COMMITTED each sees what was committed before it began, and a locked row is read
-- as it was when the lock was got; so what is judged is what is locked. One clever statement that locks
-- and judges at once would judge the picture from before it waited.
--
-- Lock order, the same for every command of every process: slots by id, bookings by id, a customer's
-- use of a slot, head of the log. Two batches can therefore wait for each other, never in a circle.

SET LOCAL ROLE booking_owner;

-- Lock the slots that the batch is about, in id order. Lines of existing bookings are read to learn
-- their slots, and read again once these are locked.
CREATE FUNCTION booking.lock_slots(
    commands booking.command[], lines booking.requested_line[], targets uuid[])
RETURNS booking.slot[] LANGUAGE sql
RETURN ARRAY(
    SELECT s FROM booking.slot AS s
    WHERE s.slot_id = ANY (ARRAY(
        SELECT slot_id FROM unnest(lines)
        UNION ALL SELECT slot_id FROM unnest(commands) WHERE slot_id IS NOT NULL
        UNION ALL SELECT l.slot_id FROM booking.booking_line AS l
                  WHERE l.booking_id = ANY (targets)))
    ORDER BY s.slot_id FOR NO KEY UPDATE);

-- The rules of the locked slots' resources. A statement of its own, after the locks: whoever brings a
-- limit per customer has locked the slots as well, and may have been waited for. The rules themselves
-- are not locked, so that a sale goes on while a policy is being changed: see `refuse_other_rules`.
CREATE FUNCTION booking.read_rules(locked booking.slot[]) RETURNS booking.resource[]
LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT r FROM booking.resource AS r
    WHERE r.resource_id = ANY (ARRAY(SELECT DISTINCT resource_id FROM unnest(locked))));

-- The locked slots with those rules.
CREATE FUNCTION booking.take_stock(locked booking.slot[], rules booking.resource[])
RETURNS booking.stock[] LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT ROW(s.slot_id, s.resource_id, s.ends_at, r.hold_seconds, r.units_per_booking_max,
               r.units_per_customer_max, s.version, s.held, s.confirmed, s.version, s.state,
               s.capacity, s.overbooking_units, s.held, s.confirmed, 0, false, 0)::booking.stock
    FROM unnest(locked) AS s JOIN unnest(rules) AS r USING (resource_id)
    ORDER BY s.slot_id);

-- The lines that existing bookings have, as the commands about them move them: a reschedule takes
-- back all that it does not ask for again, any other command moves what is there.
CREATE TYPE booking.line AS (
    ordinal integer, slot_id uuid, has integer, moves integer, will_have integer);

CREATE FUNCTION booking.lines_had(commands booking.command[], targets uuid[])
RETURNS booking.line[] LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT CASE c.kind
           WHEN 'RescheduleBooking' THEN ROW(c.ordinal, l.slot_id, l.units, -l.units, 0)::booking.line
           ELSE ROW(c.ordinal, l.slot_id, l.units, l.units, l.units)::booking.line END
    FROM unnest(commands) AS c JOIN booking.booking_line AS l USING (booking_id)
    WHERE l.booking_id = ANY (targets) AND c.kind NOT IN ('PlaceHold', 'BookNow'));

-- Each command with the record of its key, its booking, what may become of it, and its lines:
-- `asked` by the command, `had` by an existing booking.
CREATE FUNCTION booking.look_up(
    commands booking.command[], asked booking.requested_line[], had booking.line[],
    stock booking.stock[])
RETURNS SETOF booking.question LANGUAGE sql STABLE AS $$
    SELECT c.*, b.state, b.version, b.customer_id, b.expires_at, t.event_type, t.after, t.held,
           t.confirmed, l.places, l.has, l.moves, l.will_have,
           CASE WHEN c.kind IN ('PlaceHold', 'ExtendHold') THEN l.longest_hold END,
           CASE WHEN r.fingerprint IS NOT NULL THEN
               ROW(c.ordinal, 'replayed', r.status, r.answer, r.location, r.etag, r.epoch,
                   r."position", r.recorded_at)::booking.answer END,
           r.fingerprint
    FROM unnest(commands) AS c
    LEFT JOIN LATERAL (SELECT * FROM booking.recall(c.caller, c.command_id) OFFSET 0) AS r ON true
    LEFT JOIN LATERAL (SELECT * FROM booking.booking AS b
                       WHERE b.booking_id = c.booking_id OFFSET 0) AS b ON true
    LEFT JOIN booking.transition AS t
        ON t.kind || coalesce(t.before, '') = c.kind || CASE
            WHEN c.kind IN ('PlaceHold', 'BookNow') THEN '' ELSE b.state END
    LEFT JOIN (
        SELECT line.ordinal,
               array_agg(s.place::integer ORDER BY line.slot_id) AS places,
               array_agg(line.has ORDER BY line.slot_id) AS has,
               array_agg(line.moves ORDER BY line.slot_id) AS moves,
               array_agg(line.will_have ORDER BY line.slot_id) AS will_have,
               min(s.hold_seconds) AS longest_hold
        FROM (SELECT ordinal, slot_id, coalesce(had.has, 0) AS has,
                     coalesce(asked.units, 0) + coalesce(had.moves, 0) AS moves,
                     coalesce(asked.units, 0) + coalesce(had.will_have, 0) AS will_have
              FROM unnest(asked) AS asked FULL JOIN unnest(had) AS had USING (ordinal, slot_id)
              UNION ALL
              SELECT ordinal, slot_id, 0, 0, 0 FROM unnest(commands) WHERE slot_id IS NOT NULL
             ) AS line
        LEFT JOIN unnest(stock) WITH ORDINALITY AS s(
            slot_id, resource_id, ends_at, hold_seconds, units_per_booking_max,
            units_per_customer_max, found_version, found_held, found_confirmed, version, state,
            capacity, overbooking_units, held, confirmed, gone, awaited, coming, place)
            USING (slot_id)
        GROUP BY line.ordinal) AS l USING (ordinal)
    ORDER BY c.ordinal
$$;

-- Write each touched slot once, however many commands it served, and only if it is still as it was
-- judged and has the units. This condition is the guard; the rest is bookkeeping.
CREATE FUNCTION booking.write_slots(stock booking.stock[], touched integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    written integer;
BEGIN
    UPDATE booking.slot AS s
    SET held = s.held + now.held - now.found_held,
        confirmed = s.confirmed + now.confirmed - now.found_confirmed, version = now.version,
        state = now.state, capacity = now.capacity, overbooking_units = now.overbooking_units
    FROM unnest(stock) AS now
    WHERE s.slot_id = now.slot_id AND s.slot_id = ANY (ARRAY(SELECT slot_id FROM unnest(stock)))
      AND now.version > now.found_version
      AND s.version = now.found_version
      AND s.held + now.held - now.found_held + s.confirmed + now.confirmed - now.found_confirmed
          <= now.capacity + now.overbooking_units;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> touched THEN
        RAISE EXCEPTION 'A slot changed between its lock and its write.';
    END IF;
END $$;

-- What the command does to the customers' use of its k-th slot.
CREATE FUNCTION booking.count_use(
    c booking.question, k integer, slot_id uuid, at_most integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    change integer := (c.held + c.confirmed) * c.moves[k];
BEGIN
    IF c.kind = 'TransferBooking' THEN
        PERFORM booking.use_units(slot_id, c.booked_by, -c.has[k], NULL);
        PERFORM booking.use_units(slot_id, c.customer_id, c.has[k], at_most);
    ELSIF change <> 0 THEN
        PERFORM booking.use_units(slot_id, coalesce(c.customer_id, c.booked_by), change, at_most);
    END IF;
END $$;

-- Whoever changes a policy has the log's head before this batch or after it. If before, it is seen here:
-- nothing has happened, and the batch is run again. So nothing stands in the log that the policy before
-- it forbids.
CREATE FUNCTION booking.refuse_other_rules(rules booking.resource[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM unnest(rules) AS judged_by JOIN booking.resource AS r USING (resource_id)
    WHERE r.resource_id = ANY (ARRAY(SELECT resource_id FROM unnest(rules)))
      AND r.version <> judged_by.version;
    IF FOUND THEN
        RAISE EXCEPTION 'A policy changed while a batch was judged by it.'
        USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

-- One batch, from the first lock to the answers.
CREATE FUNCTION booking.decide(
    commands booking.command[], lines booking.requested_line[])
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
    moment    timestamptz;
    -- The bookings this batch is about, without those it makes: if the id of a new one is taken
    -- meanwhile, `booking_id_taken` says so.
    targets   uuid[] := ARRAY(SELECT booking_id FROM unnest(commands)
                              WHERE kind NOT IN ('PlaceHold', 'BookNow') AND booking_id IS NOT NULL);
    locked    booking.slot[];
    rules     booking.resource[];
    had       booking.line[] := '{}';
    stock     booking.stock[];       -- the slots, as the commands so far have left them
    past      booking.past_holds[];  -- what could expire for this batch; null: not looked for yet
    theirs    booking.customer_holds[];  -- and for its customers at their limit, in the same way
    claimed   uuid[] := '{}';        -- bookings that are spoken for: by a command, or to expire
    decisions booking.decision[] := '{}';
    changes   booking.slot_change[] := '{}';
    answers   booking.answer[] := '{}';
    events    integer := 0;
    touched   integer := 0;          -- slots that are to be written

    c         booking.question;
    s         booking.stock;
    place     integer;
    refused   booking.answer;
    broken    text;
    waits     record;
    expiry    timestamptz;
BEGIN
    -- Lock.
    locked := booking.lock_slots(commands, lines, targets);
    rules := booking.read_rules(locked);
    stock := booking.take_stock(locked, rules);
    IF targets <> '{}' THEN
        PERFORM FROM booking.booking WHERE booking_id = ANY (targets)
        ORDER BY booking_id FOR NO KEY UPDATE;
        had := booking.lines_had(commands, targets);
    END IF;

    -- Look up, and judge each command on its own, in the order of arrival.
    moment := clock_timestamp();
    FOR c IN SELECT * FROM booking.look_up(commands, lines, had, stock) LOOP
        IF c.earlier_fingerprint IS NOT NULL OR c.deadline < moment THEN
            answers := answers || booking.answer_unjudged(c);
            CONTINUE;
        END IF;

        -- A command about a slot itself.
        IF c.slot_id IS NOT NULL THEN
            place := c.places[1];
            s := stock[place];
            waits := booking.judge_slot(c, s, moment, claimed);
            IF (waits.refusal).outcome IS NOT NULL THEN
                answers := answers || waits.refusal;
                CONTINUE;
            ELSIF waits.expired IS NOT NULL THEN
                claimed := claimed || waits.expired;
                stock := booking.await_expiry(stock, c, waits.expired, false);
                answers := answers || booking.after_expiry(c.ordinal, waits.expired);
                CONTINUE;
            END IF;
            s := booking.changed_slot(c, s);
            IF s.version > stock[place].version THEN
                events := events + 1;
                touched := touched + (s.version = s.found_version + 1)::integer;
                stock[place] := s;
                decisions := decisions || booking.slot_decision(c, s.version, events);
            ELSE
                decisions := decisions || booking.slot_decision(c, s.version, NULL);
            END IF;
            changes := changes || ROW(c.ordinal, s.slot_id, s.resource_id, 0, 0, 0, s.version,
                s.state, s.capacity, s.overbooking_units, s.held, s.confirmed)::booking.slot_change;
            CONTINUE;
        END IF;

        -- A command about a booking that should exist.
        IF c.kind NOT IN ('PlaceHold', 'BookNow') THEN
            refused := booking.judge_booking(c);
            IF refused.outcome IS NOT NULL THEN
                answers := answers || refused;
                CONTINUE;
            ELSIF booking.is_already_so(c, moment) THEN
                decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id,
                    c.fingerprint, c.correlation_id, c.traceparent, NULL, NULL, c.booking_id,
                    c.booked_by, c.booked_by, c.state, c.state, c.version, c.expires_at
                    )::booking.decision;
                CONTINUE;
            END IF;
        END IF;

        -- What a client may not have. Before units are refused, holds past their time give theirs.
        broken := booking.broken_rule(c, stock, moment);
        IF broken IS NOT NULL THEN
            IF broken IN ('capacity-exceeded', 'awaited') AND past IS NULL THEN
                past := booking.look_for_past_holds(
                    stock, lines, moment, cardinality(targets) + cardinality(claimed));
            END IF;
            IF broken = 'customer-limit-exceeded' AND theirs IS NULL THEN
                theirs := booking.look_for_customers_holds(commands, targets, stock, moment);
            END IF;
            waits := booking.reclaim(c, broken, stock, past, theirs, claimed);
            IF waits.barren IS NOT NULL THEN
                past[waits.barren] := NULL;
            END IF;
            IF waits.expired IS NULL THEN
                answers := answers || booking.refuse_for(c, broken, stock, lines, moment);
            ELSE
                stock := booking.await_expiry(stock, c, waits.expired, waits.enough);
                claimed := claimed || waits.expired || c.booking_id;
                answers := answers || booking.after_expiry(c.ordinal, waits.expired);
            END IF;
            CONTINUE;
        END IF;

        -- It happens: to the booking, and to each of its slots.
        events := events + 1;
        claimed := claimed || c.booking_id;
        expiry := CASE
            WHEN c.after <> 'held' THEN NULL
            WHEN c.longest_hold IS NULL THEN c.expires_at
            ELSE greatest(c.expires_at,
                moment + make_interval(secs => coalesce(c.hold_seconds, c.longest_hold))) END;
        decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id, c.fingerprint,
            c.correlation_id, c.traceparent, events, c.event_type, c.booking_id,
            coalesce(c.customer_id, c.booked_by), c.booked_by, c.after, c.state,
            coalesce(c.version, 0) + 1, expiry)::booking.decision;
        FOR k IN 1..cardinality(c.places) LOOP
            place := c.places[k];
            s := stock[place];
            IF s.units_per_customer_max IS NOT NULL THEN
                PERFORM booking.count_use(c, k, s.slot_id, s.units_per_customer_max);
            END IF;
            IF expiry <= moment THEN
                s.awaited := true;  -- still a hold past its time: whoever needs it looks again
            END IF;
            IF c.moves[k] = 0 OR c.held = 0 AND c.confirmed = 0 THEN
                -- The event leaves this slot alone.
                stock[place] := s;
                changes := changes || ROW(c.ordinal, s.slot_id, s.resource_id, c.has[k],
                    c.will_have[k], 0, NULL, NULL, NULL, NULL, NULL, NULL)::booking.slot_change;
                CONTINUE;
            END IF;
            IF s.version = s.found_version THEN
                touched := touched + 1;
            END IF;
            IF c.kind = 'ExpireHold' THEN
                s.gone := s.gone + 1;
            END IF;
            s.held := s.held + c.held * c.moves[k];
            s.confirmed := s.confirmed + c.confirmed * c.moves[k];
            s.version := s.version + 1;
            stock[place] := s;
            changes := changes || ROW(c.ordinal, s.slot_id, s.resource_id, c.has[k],
                c.will_have[k], (c.held + c.confirmed) * c.moves[k], s.version, s.state,
                s.capacity, s.overbooking_units, s.held, s.confirmed)::booking.slot_change;
        END LOOP;
    END LOOP;

    -- Write, record and number what was accepted.
    IF touched > 0 THEN
        PERFORM booking.write_slots(stock, touched);
    END IF;
    RETURN QUERY SELECT * FROM booking.record(decisions, changes);
    IF answers <> '{}' THEN
        -- Refusals are told where the log stands.
        RETURN QUERY
        SELECT a.ordinal, a.outcome, a.status, a.body, a.location, a.etag,
               coalesce(a.epoch, head.epoch), coalesce(a."position", head."position"),
               coalesce(a.as_of, greatest(head.recorded_at, transaction_timestamp()))
        FROM unnest(answers) AS a CROSS JOIN booking.log_head AS head;
    END IF;
    PERFORM booking.refuse_other_rules(rules);
END $$;
