-- How one command is judged, rule by rule. `booking.decide` (0009) asks these functions about each
-- command in turn, with the slots as the commands before have left them; none of them writes, and what
-- they answer is true of the rows that are locked.

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

-- A slot of the batch: locked, with the rules of its resource, as it was found and as the commands so
-- far have left it. All of them stand in an array, by slot id; its index there is the slot's `place`.
CREATE TYPE booking.stock AS (
    slot_id                uuid,
    resource_id            uuid,
    ends_at                timestamptz,
    hold_seconds           integer,
    units_per_booking_max  integer,
    units_per_customer_max integer,
    found_version          bigint,
    found_held             integer,
    found_confirmed        integer,
    version                bigint,
    state                  text,
    capacity               integer,
    overbooking_units      integer,
    held                   integer,
    confirmed              integer,
    gone                   integer,  -- holds that this batch has expired
    awaited                boolean,  -- an earlier command waits for holds on it to expire
    coming                 integer   -- units that those holds will free, less what waits for them
);

-- A command with all that is needed to judge it, besides the slots.
CREATE TYPE booking.question AS (
    ordinal              integer,
    kind                 text,
    caller               text,
    command_id           text,
    fingerprint          bytea,
    deadline             timestamptz,
    correlation_id       text,
    traceparent          text,
    owner                uuid,
    booking_id           uuid,
    customer_id          uuid,
    hold_seconds         integer,
    if_match             bigint[],
    slot_id              uuid,      -- of a command about a slot itself
    capacity             integer,
    overbooking_units    integer,
    -- The booking as it is; null where there is none.
    state                text,
    version              bigint,
    booked_by            uuid,
    expires_at           timestamptz,
    -- What becomes of it (booking.transition); null where nothing can.
    event_type           text,
    after                text,
    held                 integer,   -- what a unit that moves does to the slot's counters
    confirmed            integer,
    -- Its lines in slot id order: where the slot stands (null: there is none), what the booking has
    -- of it, how many units move and what it will have.
    places               integer[],
    has                  integer[],
    moves                integer[],
    will_have            integer[],
    longest_hold         integer,   -- in seconds, by the least of its resources' policies
    -- What was answered when it was asked before.
    earlier              booking.answer,
    earlier_fingerprint  bytea
);

-- Asked before: the same answer, or a refusal to answer another question under its name. Or too
-- late: the client has been told, or will be, that this did not happen.
CREATE FUNCTION booking.answer_unjudged(c booking.question) RETURNS booking.answer
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN (c).earlier_fingerprint IS NULL THEN
        booking.refusal((c).ordinal, 'not-decided', 503, '{}')
    WHEN (c).earlier_fingerprint = (c).fingerprint THEN (c).earlier
    ELSE booking.refusal((c).ordinal, 'idempotency-key-reused', 422, '{}') END;

-- A command about an existing booking: is it there, as the client believes, and in a state from
-- which this can be done, or is done already?
CREATE FUNCTION booking.judge_booking(c booking.question) RETURNS booking.answer
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF c.state IS NULL OR c.booked_by <> c.owner THEN
        RETURN booking.refusal(c.ordinal, 'booking-not-found', 404,
            format('{"booking_id":"%s"}', c.booking_id));
    END IF;
    IF NOT c.version = ANY (c.if_match) THEN
        RETURN booking.version_mismatch(c.ordinal, c.if_match, c.version);
    END IF;
    IF c.event_type IS NULL AND NOT EXISTS (
        SELECT FROM booking.transition AS t
        WHERE t.kind = c.kind AND t.after = c.state AND t.after <> t.before) THEN
        RETURN booking.refusal(c.ordinal, 'wrong-state', 409,
            format('{"booking_id":"%s","state":"%s","version":%s,"allowed":[%s]}',
                c.booking_id, c.state, c.version,
                (SELECT string_agg('"' || t.before || '"', ',' ORDER BY t.before DESC)
                 FROM booking.transition AS t WHERE t.kind = c.kind)), c.version);
    END IF;
    RETURN NULL;
END $$;

-- Whether the command asks for what is there already: then it is answered as it is, and nothing
-- happens. A hold whose time has not come is left as it is, too.
CREATE FUNCTION booking.is_already_so(c booking.question, moment timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce((c).event_type IS NULL
    OR (c).kind = 'ExpireHold' AND (c).expires_at > moment
    OR (c).kind = 'TransferBooking' AND (c).customer_id = (c).booked_by
    OR (c).kind = 'RescheduleBooking' AND 0 = ALL ((c).moves), false);

-- The first rule that the command breaks, as the slug of its refusal, or null. Two are no refusals,
-- it only has to wait: `lines-changed` after they were read and before they were locked; `awaited`,
-- because an earlier command waits for units of the same slot, and nobody who came later takes them
-- first.
CREATE FUNCTION booking.broken_rule(
    c booking.question, stock booking.stock[], moment timestamptz)
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    s       booking.stock;
    growth  integer;
    broken  integer := 6;
    awaited boolean := false;
BEGIN
    IF array_position(c.places, NULL) IS NOT NULL THEN
        RETURN CASE WHEN (SELECT bool_or(has > 0 AND place IS NULL)
                          FROM unnest(c.places, c.has) AS line(place, has))
                    THEN 'lines-changed' ELSE 'slot-not-found' END;
    END IF;
    IF c.hold_seconds > c.longest_hold THEN
        RETURN 'hold-too-long';
    END IF;
    IF c.held + c.confirmed > 0 OR c.kind = 'TransferBooking' THEN
        FOR k IN 1..cardinality(c.places) LOOP
            growth := c.moves[k];
            CONTINUE WHEN growth <= 0;
            s := stock[c.places[k]];
            awaited := awaited OR s.awaited;
            IF s.units_per_customer_max IS NOT NULL AND broken > 3 AND growth
               + booking.units_used(s.slot_id, coalesce(c.customer_id, c.booked_by))
               > s.units_per_customer_max THEN
                broken := 3;
            END IF;
            CONTINUE WHEN c.kind = 'TransferBooking';
            IF s.state <> 'open' OR s.ends_at <= moment THEN
                RETURN 'slot-closed';
            ELSIF c.will_have[k] > s.units_per_booking_max THEN
                broken := 2;
            ELSIF growth > s.capacity + s.overbooking_units - s.held - s.confirmed THEN
                broken := least(broken, 4);
            END IF;
        END LOOP;
    END IF;
    RETURN CASE
        WHEN broken = 2 THEN 'booking-limit-exceeded'
        WHEN broken = 3 THEN 'customer-limit-exceeded'
        WHEN broken = 4 THEN 'capacity-exceeded'
        WHEN awaited THEN 'awaited'
        WHEN c.state IS NOT NULL AND c.kind IN ('PlaceHold', 'BookNow') THEN 'already-exists'
        END;
END $$;

-- The refusal for the first rule that the command breaks, with every line that breaks it.
CREATE FUNCTION booking.refuse_for(
    c booking.question, broken text, stock booking.stock[], lines booking.requested_line[],
    moment timestamptz)
RETURNS booking.answer LANGUAGE plpgsql STABLE AS $$
DECLARE
    failing  text;
    s        booking.stock;
    number   integer;
BEGIN
    IF broken = 'already-exists' THEN
        -- Which version somebody else's booking has reached is not for this caller to know.
        RETURN booking.refusal(c.ordinal, broken, 409, format('{"booking_id":"%s"}', c.booking_id),
            CASE WHEN c.owner IS NULL OR c.owner = c.booked_by THEN c.version END);
    ELSIF broken = 'hold-too-long' THEN
        RETURN booking.refusal(c.ordinal, broken, 409, format('{"limit":%s}', c.longest_hold));
    ELSIF broken = 'slot-not-found' THEN
        RETURN booking.refusal(c.ordinal, broken, 404, (
            SELECT format('{"lines":[%s]}', string_agg(format('{"slot_id":"%s","requested":%s}',
                       l.slot_id, l.units), ',' ORDER BY l.slot_id))
            FROM unnest(lines) AS l
            WHERE l.ordinal = c.ordinal
              AND l.slot_id <> ALL (ARRAY(SELECT slot_id FROM unnest(stock)))));
    END IF;
    FOR k IN 1..cardinality(c.places) LOOP
        CONTINUE WHEN c.moves[k] <= 0;
        s := stock[c.places[k]];
        CASE broken
        WHEN 'slot-closed' THEN
            CONTINUE WHEN s.state = 'open' AND s.ends_at > moment;
            failing := concat_ws(',', failing, format(
                '{"slot_id":"%s","requested":%s,"version":%s}',
                s.slot_id, c.will_have[k], s.version));
        WHEN 'booking-limit-exceeded' THEN
            CONTINUE WHEN NOT coalesce(c.will_have[k] > s.units_per_booking_max, false);
            failing := concat_ws(',', failing, format(
                '{"slot_id":"%s","requested":%s,"limit":%s}',
                s.slot_id, c.will_have[k], s.units_per_booking_max));
        WHEN 'customer-limit-exceeded' THEN
            number := booking.units_used(s.slot_id, coalesce(c.customer_id, c.booked_by));
            CONTINUE WHEN NOT coalesce(c.moves[k] + number > s.units_per_customer_max, false);
            failing := concat_ws(',', failing, format(
                '{"slot_id":"%s","requested":%s,"used":%s,"limit":%s}',
                s.slot_id, c.moves[k], number, s.units_per_customer_max));
        WHEN 'capacity-exceeded' THEN
            number := s.capacity + s.overbooking_units - s.held - s.confirmed;
            CONTINUE WHEN c.moves[k] <= number;
            failing := concat_ws(',', failing, format(
                '{"slot_id":"%s","requested":%s,"remaining":%s,"version":%s}',
                s.slot_id, c.moves[k], number, s.version));
        END CASE;
    END LOOP;
    RETURN booking.refusal(c.ordinal, broken, 409, format('{"lines":[%s]}', failing));
END $$;

-- A command about a slot itself: the refusal, or the holds past their time that are to expire first
-- because a smaller capacity needs their units; both null when it may happen.
CREATE FUNCTION booking.judge_slot(
    c booking.question, s booking.stock, moment timestamptz, claimed uuid[],
    OUT refusal booking.answer, OUT expired uuid[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    short_by integer := s.held + s.confirmed - coalesce(c.capacity, s.capacity)
                        - coalesce(c.overbooking_units, s.overbooking_units);
BEGIN
    IF s.slot_id IS NULL THEN
        refusal := booking.refusal(c.ordinal, 'slot-not-found', 404,
            format('{"slot_id":"%s"}', c.slot_id));
        RETURN;
    END IF;
    -- The holds that expired for a resize have changed the version it was meant for.
    IF NOT s.version = ANY (c.if_match)
       AND NOT (c.kind = 'ResizeSlot' AND s.version - s.gone = ANY (c.if_match)) THEN
        refusal := booking.version_mismatch(c.ordinal, c.if_match, s.version);
        RETURN;
    END IF;
    IF c.kind = 'ResizeSlot' AND short_by > s.coming THEN
        expired := nullif(booking.expired_holds(
            s.slot_id, moment, claimed, short_by - s.coming), '{}');
    END IF;
    IF expired IS NULL AND s.awaited THEN
        expired := '{}';
    END IF;
    IF expired IS NULL AND c.kind = 'ResizeSlot' AND short_by > 0 THEN
        refusal := booking.refusal(c.ordinal, 'capacity-below-use', 409,
            format('{"used":%s}', s.held + s.confirmed), s.version);
    END IF;
END $$;

-- The slot as a command about it makes it; of the same version when it is so already.
CREATE FUNCTION booking.changed_slot(c booking.question, s booking.stock) RETURNS booking.stock
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    was booking.stock := s;
BEGIN
    s.state := CASE c.kind WHEN 'CloseSlot' THEN 'closed' WHEN 'ReopenSlot' THEN 'open'
                           ELSE s.state END;
    s.capacity := coalesce(c.capacity, s.capacity);
    s.overbooking_units := coalesce(c.overbooking_units, s.overbooking_units);
    IF s IS DISTINCT FROM was THEN
        s.version := s.version + 1;
    END IF;
    RETURN s;
END $$;

-- The decision on such a command; without an event where the slot is so already.
CREATE FUNCTION booking.slot_decision(c booking.question, version bigint, event_number integer)
RETURNS booking.decision LANGUAGE sql IMMUTABLE
RETURN ROW((c).ordinal, (c).kind, (c).caller, (c).command_id, (c).fingerprint, (c).correlation_id,
    (c).traceparent, event_number,
    CASE WHEN event_number IS NOT NULL THEN
        CASE (c).kind WHEN 'ResizeSlot' THEN 'SlotResized' WHEN 'CloseSlot' THEN 'SlotClosed'
                      ELSE 'SlotReopened' END END,
    NULL, NULL, NULL, NULL, NULL, version, NULL)::booking.decision;
