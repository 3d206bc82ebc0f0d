-- The guard of the product: `booking.decide` answers a whole batch of commands about slots and
-- bookings in one call, which is one transaction. No client round trip lies between the first lock
-- and the commit, so a paused process can never hold up the others.
--
-- Its steps are separate statements on purpose. Under READ COMMITTED each sees everything that was
-- committed before it began, so what is judged is what is locked. One clever statement that locks
-- and judges at once would judge the picture from before it waited.
--
-- Lock order, the same for every command of every process: slots by id, bookings by id, a customer's
-- use of a slot, head of the log. Two batches can therefore wait for each other, never in a circle.

SET LOCAL ROLE booking_owner;

-- What becomes of a booking: from which state, to which, under which event, and what a unit of its
-- lines does to the slot's counters. What is not in this table is refused as wrong-state.
CREATE TABLE booking.transition (
    kind       text    NOT NULL,
    before     text,             -- null: there is no booking yet
    after      text    NOT NULL,
    event_type text    NOT NULL,
    held       integer NOT NULL,
    confirmed  integer NOT NULL,
    CONSTRAINT one_transition_per_state UNIQUE NULLS NOT DISTINCT (kind, before)
);

INSERT INTO booking.transition VALUES
    ('PlaceHold',         NULL,        'held',      'HoldPlaced',          1,  0),
    ('BookNow',           NULL,        'confirmed', 'BookingConfirmed',    0,  1),
    ('ConfirmBooking',    'held',      'confirmed', 'BookingConfirmed',   -1,  1),
    ('ReleaseHold',       'held',      'released',  'HoldReleased',       -1,  0),
    ('CancelBooking',     'held',      'cancelled', 'BookingCancelled',   -1,  0),
    ('CancelBooking',     'confirmed', 'cancelled', 'BookingCancelled',    0, -1),
    ('ExpireHold',        'held',      'expired',   'HoldExpired',        -1,  0),
    ('ExtendHold',        'held',      'held',      'HoldExtended',        0,  0),
    ('RescheduleBooking', 'held',      'held',      'BookingRescheduled',  1,  0),  -- of the net
    ('RescheduleBooking', 'confirmed', 'confirmed', 'BookingRescheduled',  0,  1),  -- difference
    ('TransferBooking',   'held',      'held',      'BookingTransferred',  0,  0),
    ('TransferBooking',   'confirmed', 'confirmed', 'BookingTransferred',  0,  0);

GRANT SELECT ON booking.transition TO booking_writer;

CREATE FUNCTION booking.refusal(
    ordinal integer, slug text, status integer, members text, etag bigint DEFAULT NULL)
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN ROW(ordinal, slug, status, members, NULL, etag, NULL, NULL, NULL)::booking.answer;

CREATE FUNCTION booking.version_mismatch(ordinal integer, expected bigint[], actual bigint)
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN booking.refusal(ordinal, 'version-mismatch', 412,
    format('{"expected":[%s],"actual":%s}', array_to_string(expected, ','), actual), actual);

-- Holds past their time that still keep units of a slot, oldest first, as many as give `short_by`
-- units; of one customer, where one is named. They own their units until they expire by a
-- transition, so a late confirm succeeds.
CREATE FUNCTION booking.expired_holds(
    of_slot uuid, of_customer uuid, moment timestamptz, claimed uuid[], short_by integer)
RETURNS uuid[] LANGUAGE sql STABLE
-- From the few holds past their time to their lines, never the other way round.
SET enable_nestloop = on
SET enable_hashjoin = off
SET enable_mergejoin = off
RETURN ARRAY(
    SELECT booking_id
    FROM (SELECT booking_id, expires_at,
                 sum(units) OVER (ORDER BY expires_at, booking_id) - units AS freed_before
          FROM (SELECT b.booking_id, b.expires_at, l.units
                FROM booking.booking AS b JOIN booking.booking_line AS l USING (booking_id)
                WHERE b.state = 'held' AND b.expires_at <= moment AND l.slot_id = of_slot
                  AND (of_customer IS NULL OR b.customer_id = of_customer)
                  AND b.booking_id <> ALL (claimed)
                ORDER BY b.expires_at, b.booking_id
                LIMIT greatest(short_by, 0)) AS oldest) AS candidate
    WHERE freed_before < short_by
    ORDER BY expires_at, booking_id);

-- The same for all slots of a batch with one look, because after a sale thousands of holds end at
-- once: of each slot the oldest ones, as many as could be asked for.
CREATE TYPE booking.past_hold AS (slot_id uuid, booking_id uuid, units integer);

CREATE FUNCTION booking.past_holds(
    of_slots uuid[], at_most integer[], moment timestamptz, claimed uuid[])
RETURNS booking.past_hold[] LANGUAGE sql STABLE
SET enable_nestloop = on
SET enable_hashjoin = off
SET enable_mergejoin = off
RETURN ARRAY(
    SELECT ROW(slot_id, booking_id, units)::booking.past_hold
    FROM (SELECT b.booking_id, b.expires_at, l.slot_id, l.units, place.index,
                 row_number() OVER (PARTITION BY l.slot_id ORDER BY b.expires_at, b.booking_id) AS nth
          FROM booking.booking AS b JOIN booking.booking_line AS l USING (booking_id)
          CROSS JOIN LATERAL array_position(of_slots, l.slot_id) AS place(index)
          WHERE b.state = 'held' AND b.expires_at <= moment AND place.index IS NOT NULL
            AND b.booking_id <> ALL (claimed)) AS candidate
    WHERE nth <= at_most[index]
    ORDER BY expires_at, booking_id);

CREATE FUNCTION booking.oldest(
    past booking.past_hold[], of_slot uuid, claimed uuid[], short_by integer)
RETURNS uuid[] LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT booking_id
    FROM (SELECT booking_id, nth, sum(units) OVER (ORDER BY nth) - units AS freed_before
          FROM unnest(past) WITH ORDINALITY AS hold(slot_id, booking_id, units, nth)
          WHERE slot_id = of_slot AND booking_id <> ALL (claimed)) AS candidate
    WHERE freed_before < short_by
    ORDER BY nth);

-- What some bookings have of a slot, together.
CREATE FUNCTION booking.units_of(bookings uuid[], of_slot uuid) RETURNS integer
LANGUAGE sql STABLE
RETURN CASE WHEN bookings = '{}' THEN 0 ELSE coalesce(
    (SELECT sum(units)::integer FROM booking.booking_line
     WHERE booking_id = ANY (bookings) AND slot_id = of_slot), 0) END;

-- Not decided yet: these holds are to expire first, at the head of the next batch, and the command
-- comes right after them.
CREATE FUNCTION booking.after_expiry(ordinal integer, expired uuid[])
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN booking.refusal(ordinal, 'again', 503, json_build_object('expired', expired)::text);

-- Units of a slot that a customer has in live bookings; kept only where a policy limits them.
CREATE FUNCTION booking.units_used(of_slot uuid, of_customer uuid) RETURNS integer
LANGUAGE sql STABLE
RETURN coalesce((SELECT units FROM booking.customer_use
                 WHERE slot_id = of_slot AND customer_id = of_customer), 0);

-- A customer takes units of a slot, or gives them back. The condition is the guard of the limit.
CREATE FUNCTION booking.use_units(of_slot uuid, of_customer uuid, change integer, at_most integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF change < 0 THEN
        UPDATE booking.customer_use SET units = units + change
        WHERE slot_id = of_slot AND customer_id = of_customer;
    ELSE
        INSERT INTO booking.customer_use AS u (slot_id, customer_id, units)
        VALUES (of_slot, of_customer, change)
        ON CONFLICT ON CONSTRAINT one_use_per_customer DO UPDATE SET units = u.units + change
        WHERE u.units + change <= at_most;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'A customer''s units changed between judgement and write.';
    END IF;
END $$;

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
    moment    timestamptz;
    -- The bookings this batch is about, without those it makes: if the id of a new one is taken
    -- meanwhile, `booking_id_taken` says so.
    targets   uuid[] := ARRAY(SELECT booking_id FROM unnest(commands)
                              WHERE kind NOT IN ('PlaceHold', 'BookNow') AND booking_id IS NOT NULL);
    decisions booking.decision[] := '{}';
    changes   booking.slot_change[] := '{}';
    answers   booking.answer[] := '{}';
    events    integer := 0;
    claimed   uuid[] := '{}';  -- bookings that are spoken for: by an earlier command, or to expire
    awaited   uuid[] := '{}';  -- slots on which an earlier command waits for holds to expire
    past      booking.past_hold[];  -- what could expire for the slots of this batch; null: not asked yet
    barren    uuid[] := '{}';  -- slots of which no other expired hold keeps units

    -- The locked slots by their index in slot_ids: as found, by what policy, and as the batch has
    -- made them so far.
    slot_ids        uuid[];
    slots           booking.slot[];
    hold_max        integer[];
    booking_max     integer[];
    customer_max    integer[];
    now_state       text[];
    now_capacity    integer[];
    now_overbooking integer[];
    now_held        integer[];
    now_confirmed   integer[];
    now_version     bigint[];
    gone            integer[];  -- holds that this batch has expired
    coming          integer[];  -- units that claimed holds will free, less what waits for them

    -- The table of transitions, by kind and state.
    from_key  text[];
    event_of  text[];
    after_of  text[];
    held_of   integer[];
    conf_of   integer[];

    c         record;     -- the command, its booking, and per slot what it moves and will have
    customer  uuid;       -- whose limit counts
    after     text;
    expiry    timestamptz;
    held      integer;    -- what a moved unit does to the counters
    confirmed integer;
    growth    integer;
    longest   integer;
    worst     integer;    -- the first rule that a line fails
    failing   text;
    waits     boolean;    -- for holds to expire, its own or those of an earlier command
    enough    boolean;    -- so that it can be decided in its favour afterwards
    short_by  integer;
    freed     integer;
    more      uuid[];
    expired   uuid[];
    i         integer;
    t         integer;
    n         integer;
    written   integer;
BEGIN
    -- 1. Lock. Lines of existing bookings are read to learn their slots, and checked again below.
    slot_ids := ARRAY(
        SELECT slot_id FROM unnest(lines)
        UNION SELECT slot_id FROM unnest(commands) WHERE slot_id IS NOT NULL
        UNION SELECT l.slot_id FROM booking.booking_line AS l WHERE l.booking_id = ANY (targets)
        ORDER BY slot_id);
    PERFORM FROM booking.slot WHERE slot_id = ANY (slot_ids) ORDER BY slot_id FOR NO KEY UPDATE;
    PERFORM FROM booking.booking WHERE booking_id = ANY (targets)
    ORDER BY booking_id FOR NO KEY UPDATE;

    -- 2. Look, with a snapshot that shows what is locked.
    SELECT array_agg(s.slot_id ORDER BY s.slot_id), array_agg(s ORDER BY s.slot_id),
           array_agg(r.hold_seconds ORDER BY s.slot_id),
           array_agg(r.units_per_booking_max ORDER BY s.slot_id),
           array_agg(r.units_per_customer_max ORDER BY s.slot_id),
           array_agg(s.state ORDER BY s.slot_id), array_agg(s.capacity ORDER BY s.slot_id),
           array_agg(s.overbooking_units ORDER BY s.slot_id),
           array_agg(s.held ORDER BY s.slot_id), array_agg(s.confirmed ORDER BY s.slot_id),
           array_agg(s.version ORDER BY s.slot_id)
    INTO slot_ids, slots, hold_max, booking_max, customer_max, now_state, now_capacity,
         now_overbooking, now_held, now_confirmed, now_version
    FROM booking.slot AS s JOIN booking.resource AS r USING (resource_id)
    WHERE s.slot_id = ANY (slot_ids)
      AND r.resource_id = ANY (ARRAY(SELECT resource_id FROM booking.slot
                                     WHERE slot_id = ANY (slot_ids)));
    coming := array_fill(0, ARRAY[coalesce(cardinality(slot_ids), 0)]);
    gone := coming;
    SELECT array_agg(kind || coalesce(before, '')), array_agg(event_type), array_agg(after),
           array_agg(held), array_agg(confirmed)
    INTO from_key, event_of, after_of, held_of, conf_of FROM booking.transition;

    -- 3. Decide each command on its own, in the order of arrival, on what the earlier ones left.
    moment := clock_timestamp();
    FOR c IN
        SELECT command.*, b.booking_id IS NOT NULL AS known, b.state, b.version,
               b.customer_id AS booked_by, b.expires_at, wanted.line_slots, wanted.indexes,
               wanted.has, wanted.moves, wanted.will_have,
               earlier.fingerprint AS recorded_fingerprint, earlier.status, earlier.answer,
               earlier.location, earlier.etag, earlier.epoch, earlier."position",
               earlier.recorded_at
        FROM unnest(commands) AS command
        LEFT JOIN LATERAL (SELECT * FROM booking.booking AS b
                           WHERE b.booking_id = command.booking_id OFFSET 0) AS b ON true
        LEFT JOIN LATERAL (SELECT * FROM booking.recall(command.caller, command.command_id)
                           OFFSET 0) AS earlier ON true
        LEFT JOIN (
            SELECT line.ordinal, array_agg(line.slot_id ORDER BY line.slot_id) AS line_slots,
                   array_agg(place.index::integer ORDER BY line.slot_id) AS indexes,
                   array_agg(line.has ORDER BY line.slot_id) AS has,
                   array_agg(line.moves ORDER BY line.slot_id) AS moves,
                   array_agg(line.will_have ORDER BY line.slot_id) AS will_have
            FROM (SELECT ordinal, slot_id, 0 AS has, units AS moves, units AS will_have
                  FROM unnest(lines)
                  UNION ALL
                  SELECT command.ordinal, l.slot_id, l.units, l.units, l.units
                  FROM unnest(commands) AS command
                  JOIN booking.booking_line AS l USING (booking_id)
                  WHERE command.kind NOT IN ('PlaceHold', 'BookNow', 'RescheduleBooking')
                    AND l.booking_id = ANY (targets)
                 ) AS line
            LEFT JOIN unnest(slot_ids) WITH ORDINALITY AS place(slot_id, index) USING (slot_id)
            GROUP BY line.ordinal) AS wanted USING (ordinal)
        ORDER BY command.ordinal
    LOOP
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

        -- 3a. A command about a slot itself.
        IF c.slot_id IS NOT NULL THEN
            i := array_position(slot_ids, c.slot_id);
            IF i IS NULL THEN
                answers := answers || booking.refusal(c.ordinal, 'slot-not-found', 404,
                    format('{"lines":[{"slot_id":"%s"}]}', c.slot_id));
                CONTINUE;
            END IF;
            -- The holds that expired for a resize have changed the version it was meant for.
            IF NOT now_version[i] = ANY (c.if_match)
               AND NOT (c.kind = 'ResizeSlot' AND now_version[i] - gone[i] = ANY (c.if_match)) THEN
                answers := answers
                    || booking.version_mismatch(c.ordinal, c.if_match, now_version[i]);
                CONTINUE;
            END IF;
            after := CASE c.kind WHEN 'CloseSlot' THEN 'closed' WHEN 'ReopenSlot' THEN 'open'
                                 ELSE now_state[i] END;
            c.capacity := coalesce(c.capacity, now_capacity[i]);
            c.overbooking_units := coalesce(c.overbooking_units, now_overbooking[i]);
            short_by := now_held[i] + now_confirmed[i] - c.capacity - c.overbooking_units;
            expired := CASE WHEN c.kind = 'ResizeSlot' AND short_by > coming[i] THEN booking.expired_holds(
                c.slot_id, NULL, moment, claimed, short_by - coming[i]) ELSE '{}' END;
            IF expired <> '{}' OR c.slot_id = ANY (awaited) THEN
                claimed := claimed || expired;
                awaited := awaited || c.slot_id || ARRAY(SELECT l.slot_id
                    FROM booking.booking_line AS l WHERE l.booking_id = ANY (expired));
                answers := answers || booking.after_expiry(c.ordinal, expired);
                CONTINUE;
            END IF;
            IF c.kind = 'ResizeSlot' AND short_by > 0 THEN
                answers := answers || booking.refusal(c.ordinal, 'capacity-below-use', 409,
                    format('{"used":%s}', now_held[i] + now_confirmed[i]), now_version[i]);
                CONTINUE;
            END IF;
            IF (after, c.capacity, c.overbooking_units)
               <> (now_state[i], now_capacity[i], now_overbooking[i]) THEN
                events := events + 1;
                now_state[i] := after;
                now_capacity[i] := c.capacity;
                now_overbooking[i] := c.overbooking_units;
                now_version[i] := now_version[i] + 1;
                t := events;
            ELSE
                t := NULL;  -- already so
            END IF;
            decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id, c.fingerprint,
                c.correlation_id, c.traceparent, t,
                CASE WHEN t IS NOT NULL THEN CASE c.kind WHEN 'ResizeSlot' THEN 'SlotResized'
                    WHEN 'CloseSlot' THEN 'SlotClosed' ELSE 'SlotReopened' END END,
                NULL, NULL, NULL, NULL, NULL, now_version[i], NULL)::booking.decision;
            changes := changes || ROW(c.ordinal, slot_ids[i], slots[i].resource_id, 0, 0, 0,
                now_version[i], now_state[i], now_capacity[i], now_overbooking[i], now_held[i],
                now_confirmed[i])::booking.slot_change;
            CONTINUE;
        END IF;

        -- 3b. Is the booking there, as the client believes, and in a state to start from?
        IF c.kind NOT IN ('PlaceHold', 'BookNow') THEN
            IF NOT c.known OR c.booked_by <> c.owner THEN
                answers := answers || booking.refusal(c.ordinal, 'booking-not-found', 404,
                    format('{"booking_id":"%s"}', c.booking_id));
                CONTINUE;
            END IF;
            IF NOT c.version = ANY (c.if_match) THEN
                answers := answers || booking.version_mismatch(c.ordinal, c.if_match, c.version);
                CONTINUE;
            END IF;
            t := array_position(from_key, c.kind || c.state);
            IF t IS NULL AND NOT EXISTS (SELECT FROM booking.transition AS x WHERE x.kind = c.kind
                                           AND x.after = c.state AND x.after <> x.before) THEN
                answers := answers || booking.refusal(c.ordinal, 'wrong-state', 409,
                    format('{"booking_id":"%s","state":"%s","version":%s,"allowed":[%s]}',
                        c.booking_id, c.state, c.version,
                        (SELECT string_agg('"' || x.before || '"', ',' ORDER BY x.before DESC)
                         FROM booking.transition AS x WHERE x.kind = c.kind)), c.version);
                CONTINUE;
            END IF;
            IF c.kind = 'RescheduleBooking' THEN
                -- What is asked and what it has, slot by slot: only the difference moves.
                SELECT array_agg(slot_id ORDER BY slot_id), array_agg(has ORDER BY slot_id),
                       array_agg(asked - has ORDER BY slot_id), array_agg(asked ORDER BY slot_id),
                       array_agg(array_position(slot_ids, slot_id) ORDER BY slot_id)
                INTO c.line_slots, c.has, c.moves, c.will_have, c.indexes
                FROM (SELECT slot_id, coalesce(l.units, 0) AS has, coalesce(a.units, 0) AS asked
                      FROM (SELECT * FROM booking.booking_line
                            WHERE booking_id = c.booking_id) AS l
                      FULL JOIN unnest(c.line_slots, c.will_have) AS a(slot_id, units)
                          USING (slot_id)) AS either;
            END IF;
            IF t IS NULL
               OR c.kind = 'ExpireHold' AND c.expires_at > moment
               OR c.kind = 'TransferBooking' AND c.customer_id = c.booked_by
               OR c.kind = 'RescheduleBooking' AND 0 = ALL (c.moves) THEN
                -- Already so: answered as it is, and nothing happens.
                decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id,
                    c.fingerprint, c.correlation_id, c.traceparent, NULL, NULL, c.booking_id,
                    c.booked_by, c.booked_by, c.state, c.state, c.version, c.expires_at
                    )::booking.decision;
                CONTINUE;
            END IF;
        ELSE
            t := array_position(from_key, c.kind);
        END IF;
        n := coalesce(cardinality(c.indexes), 0);
        held := held_of[t];
        confirmed := conf_of[t];
        after := after_of[t];
        customer := coalesce(c.customer_id, c.booked_by);

        -- 3c. What a client may not have: the first rule that any line fails is the answer.
        IF array_position(c.indexes, NULL) IS NOT NULL THEN
            IF EXISTS (SELECT FROM generate_series(1, n) AS k
                       WHERE c.has[k] > 0 AND c.indexes[k] IS NULL) THEN
                -- Its lines were changed after they were read and before they were locked.
                claimed := claimed || c.booking_id;
                awaited := awaited || c.line_slots;
                answers := answers || booking.after_expiry(c.ordinal, '{}');
            ELSE
                answers := answers || booking.refusal(c.ordinal, 'slot-not-found', 404,
                    (SELECT format('{"lines":[%s]}', string_agg(format(
                        '{"slot_id":"%s","requested":%s}', c.line_slots[k], c.will_have[k]), ','
                        ORDER BY k))
                     FROM generate_series(1, n) AS k WHERE c.indexes[k] IS NULL));
            END IF;
            CONTINUE;
        END IF;
        IF c.kind IN ('PlaceHold', 'ExtendHold') THEN
            longest := hold_max[c.indexes[1]];
            FOR k IN 2..n LOOP
                longest := least(longest, hold_max[c.indexes[k]]);
            END LOOP;
            IF c.hold_seconds > longest THEN
                answers := answers || booking.refusal(c.ordinal, 'hold-too-long', 409,
                    format('{"limit":%s}', longest));
                CONTINUE;
            END IF;
        END IF;
        worst := 5;
        waits := false;
        IF held + confirmed > 0 OR c.kind = 'TransferBooking' THEN
            FOR k IN 1..n LOOP
                i := c.indexes[k];
                growth := c.moves[k];
                CONTINUE WHEN growth <= 0;
                waits := waits OR slot_ids[i] = ANY (awaited);
                IF customer_max[i] IS NOT NULL AND worst > 3 AND growth
                   + booking.units_used(slot_ids[i], customer) > customer_max[i] THEN
                    worst := 3;
                END IF;
                CONTINUE WHEN c.kind = 'TransferBooking';
                IF now_state[i] <> 'open' OR slots[i].ends_at <= moment THEN
                    worst := 1;
                ELSIF c.will_have[k] > booking_max[i] THEN
                    worst := least(worst, 2);
                ELSIF growth > now_capacity[i] + now_overbooking[i] - now_held[i] - now_confirmed[i]
                THEN
                    worst := least(worst, 4);
                END IF;
            END LOOP;
        END IF;
        -- Before units are refused, holds past their time give theirs back: the oldest, and no more
        -- than needed. They expire at the head of the next batch, right before this command. Nobody
        -- who came later takes units of such a slot first.
        IF worst >= 3 AND (worst < 5 OR waits) THEN
            expired := '{}';
            enough := true;
            FOR k IN 1..n LOOP
                i := c.indexes[k];
                growth := c.moves[k];
                CONTINUE WHEN growth <= 0
                    OR worst <> 3 AND c.kind = 'TransferBooking'
                    OR worst = 3 AND customer_max[i] IS NULL;
                short_by := growth - booking.units_of(expired, slot_ids[i]) - CASE worst
                    WHEN 3 THEN customer_max[i] - booking.units_used(slot_ids[i], customer)
                    ELSE now_capacity[i] + now_overbooking[i] - now_held[i] - now_confirmed[i]
                         + coming[i] END;
                CONTINUE WHEN short_by <= 0;
                IF worst = 3 THEN
                    more := booking.expired_holds(slot_ids[i], customer, moment,
                                                  claimed || expired || c.booking_id, short_by);
                ELSIF slot_ids[i] = ANY (barren) THEN
                    more := '{}';
                ELSE
                    IF past IS NULL THEN
                        -- No more than all lines ask for, and those that other commands may claim.
                        past := booking.past_holds(slot_ids, ARRAY(
                            SELECT least(coalesce(sum(l.units), 0), 4096)::integer
                                   + cardinality(targets)
                            FROM unnest(slot_ids) WITH ORDINALITY AS s(slot_id, index)
                            LEFT JOIN unnest(lines) AS l USING (slot_id)
                            GROUP BY s.index ORDER BY s.index), moment, claimed);
                    END IF;
                    more := booking.oldest(past, slot_ids[i], claimed || expired || c.booking_id,
                                           short_by);
                END IF;
                IF more = '{}' THEN
                    IF worst > 3 AND NOT c.known THEN  -- its own hold is no help to itself alone
                        barren := barren || slot_ids[i];
                    END IF;
                    enough := false;
                    IF slot_ids[i] <> ALL (awaited) THEN
                        waits := false;  -- no hold can help
                        expired := '{}';
                        EXIT;
                    END IF;
                END IF;
                enough := enough AND booking.units_of(more, slot_ids[i]) >= short_by;
                expired := expired || more;
                waits := true;
            END LOOP;
            IF waits THEN
                FOR i, freed IN
                    SELECT array_position(slot_ids, l.slot_id), sum(l.units)
                    FROM booking.booking_line AS l WHERE l.booking_id = ANY (expired)
                    GROUP BY l.slot_id
                LOOP
                    CONTINUE WHEN i IS NULL;  -- nobody in this batch asks for that slot
                    coming[i] := coming[i] + freed;
                    awaited := awaited || slot_ids[i];
                END LOOP;
                FOR k IN 1..n LOOP
                    CONTINUE WHEN c.moves[k] <= 0 OR c.kind = 'TransferBooking' OR NOT enough;
                    coming[c.indexes[k]] := coming[c.indexes[k]] - c.moves[k];
                END LOOP;
                claimed := claimed || expired || c.booking_id;
                awaited := awaited || c.line_slots;
                answers := answers || booking.after_expiry(c.ordinal, expired);
                CONTINUE;
            END IF;
        END IF;
        IF worst < 5 THEN
            failing := NULL;
            FOR k IN 1..n LOOP
                i := c.indexes[k];
                growth := c.moves[k];
                CONTINUE WHEN growth <= 0;
                CASE worst
                WHEN 1 THEN
                    CONTINUE WHEN now_state[i] = 'open' AND slots[i].ends_at > moment;
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"version":%s}',
                        slot_ids[i], c.will_have[k], now_version[i]));
                WHEN 2 THEN
                    CONTINUE WHEN NOT coalesce(c.will_have[k] > booking_max[i], false);
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"limit":%s}',
                        slot_ids[i], c.will_have[k], booking_max[i]));
                WHEN 3 THEN
                    written := booking.units_used(slot_ids[i], customer);
                    CONTINUE WHEN NOT coalesce(growth + written > customer_max[i], false);
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"used":%s,"limit":%s}',
                        slot_ids[i], growth, written, customer_max[i]));
                WHEN 4 THEN
                    written := now_capacity[i] + now_overbooking[i] - now_held[i] - now_confirmed[i];
                    CONTINUE WHEN growth <= written;
                    failing := concat_ws(',', failing, format(
                        '{"slot_id":"%s","requested":%s,"remaining":%s,"version":%s}',
                        slot_ids[i], growth, written, now_version[i]));
                END CASE;
            END LOOP;
            answers := answers || booking.refusal(c.ordinal, (ARRAY['slot-closed',
                'booking-limit-exceeded', 'customer-limit-exceeded', 'capacity-exceeded'])[worst],
                409, format('{"lines":[%s]}', failing));
            CONTINUE;
        END IF;
        IF c.known AND c.kind IN ('PlaceHold', 'BookNow') THEN
            answers := answers || booking.refusal(c.ordinal, 'already-exists', 409,
                format('{"booking_id":"%s"}', c.booking_id), c.version);
            CONTINUE;
        END IF;

        -- 3d. It happens: to the booking, and to each of its slots.
        events := events + 1;
        claimed := claimed || c.booking_id;
        expiry := CASE
            WHEN after <> 'held' THEN NULL
            WHEN c.kind IN ('PlaceHold', 'ExtendHold') THEN greatest(c.expires_at,
                moment + make_interval(secs => coalesce(c.hold_seconds, longest)))
            ELSE c.expires_at END;
        IF expiry <= moment THEN
            awaited := awaited || c.line_slots;  -- still a hold past its time: whoever needs it looks again
        END IF;
        decisions := decisions || ROW(c.ordinal, c.kind, c.caller, c.command_id, c.fingerprint,
            c.correlation_id, c.traceparent, events, event_of[t], c.booking_id, customer,
            c.booked_by, after, c.state, coalesce(c.version, 0) + 1, expiry)::booking.decision;
        FOR k IN 1..n LOOP
            i := c.indexes[k];
            growth := (held + confirmed) * c.moves[k];
            IF customer_max[i] IS NOT NULL THEN
                IF c.kind = 'TransferBooking' THEN
                    PERFORM booking.use_units(slot_ids[i], c.booked_by, -c.has[k], NULL);
                    PERFORM booking.use_units(slot_ids[i], customer, c.has[k], customer_max[i]);
                ELSIF growth <> 0 THEN
                    PERFORM booking.use_units(slot_ids[i], customer, growth, customer_max[i]);
                END IF;
            END IF;
            IF c.moves[k] = 0 OR held = 0 AND confirmed = 0 THEN
                -- The event leaves this slot alone.
                changes := changes || ROW(c.ordinal, slot_ids[i], slots[i].resource_id, c.has[k],
                    c.will_have[k], 0, NULL, NULL, NULL, NULL, NULL, NULL)::booking.slot_change;
                CONTINUE;
            END IF;
            now_held[i] := now_held[i] + held * c.moves[k];
            now_confirmed[i] := now_confirmed[i] + confirmed * c.moves[k];
            now_version[i] := now_version[i] + 1;
            IF c.kind = 'ExpireHold' THEN
                gone[i] := gone[i] + 1;
            END IF;
            changes := changes || ROW(c.ordinal, slot_ids[i], slots[i].resource_id, c.has[k],
                c.will_have[k], growth, now_version[i], now_state[i], now_capacity[i],
                now_overbooking[i], now_held[i], now_confirmed[i])::booking.slot_change;
        END LOOP;
    END LOOP;

    -- 4. Write each touched slot once, however many commands it served, and only if it is still as
    --    it was judged and has the units. This condition is the guard; the rest is bookkeeping.
    n := (SELECT count(DISTINCT c.slot_id) FROM unnest(changes) AS c JOIN unnest(decisions) AS d
          USING (ordinal) WHERE c.version IS NOT NULL AND d.event_number IS NOT NULL);
    IF n > 0 THEN
        UPDATE booking.slot AS s
        SET held = s.held + d.held, confirmed = s.confirmed + d.confirmed, version = d.version,
            state = d.state, capacity = d.capacity, overbooking_units = d.overbooking_units
        FROM (SELECT was.slot_id, was.version AS locked_version, now.version, now.state,
                     now.capacity, now.overbooking_units, now.held - was.held AS held,
                     now.confirmed - was.confirmed AS confirmed
              FROM unnest(slots) WITH ORDINALITY AS was
              JOIN unnest(now_held, now_confirmed, now_version, now_state, now_capacity,
                          now_overbooking) WITH ORDINALITY
                  AS now(held, confirmed, version, state, capacity, overbooking_units)
                USING (ordinality)) AS d
        WHERE s.slot_id = d.slot_id AND s.slot_id = ANY (slot_ids)
          AND d.version > d.locked_version
          AND s.version = d.locked_version
          AND s.held + d.held + s.confirmed + d.confirmed <= d.capacity + d.overbooking_units;
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
