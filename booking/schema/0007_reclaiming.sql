-- Before units are refused, holds past their time give theirs back: the oldest, and no more than
-- needed. They own their units until they expire by a transition, so a late confirm succeeds: nothing
-- is taken from them here. These functions find the holds, and let the command wait until they have
-- expired.

SET LOCAL ROLE booking_owner;

-- Holds past their time that still keep units of a slot, oldest first, as many as give `short_by`
-- units. Always from the few holds past their time to their lines: the planner may think a walk through
-- all lines ever sold shorter while there are few of them, and keep that plan.
CREATE FUNCTION booking.expired_holds(
    of_slot uuid, moment timestamptz, claimed uuid[], short_by integer)
RETURNS uuid[] LANGUAGE sql STABLE
SET enable_nestloop = on
RETURN ARRAY(
    SELECT booking_id
    FROM (SELECT booking_id, expires_at,
                 sum(units) OVER (ORDER BY expires_at, booking_id) - units AS freed_before
          FROM (SELECT b.booking_id, b.expires_at, l.units
                FROM booking.booking AS b CROSS JOIN LATERAL (
                    SELECT units FROM booking.booking_line
                    WHERE booking_id = b.booking_id AND slot_id = of_slot OFFSET 0) AS l
                WHERE b.state = 'held' AND b.expires_at <= moment
                  AND b.booking_id <> ALL (claimed)
                ORDER BY b.expires_at, b.booking_id
                LIMIT greatest(short_by, 0)) AS oldest) AS candidate
    WHERE freed_before < short_by
    ORDER BY expires_at, booking_id);

-- The holds past their time that keep units of the batch's slots: by the slot's place, oldest
-- first, as many as could be asked for. One look serves the whole batch, because after a sale
-- thousands of holds end at once; a slot without any hold is not looked for.
CREATE TYPE booking.past_holds AS (booking_ids uuid[], units integer[]);

CREATE FUNCTION booking.look_for_past_holds(
    stock booking.stock[], lines booking.requested_line[], moment timestamptz, claimable integer)
RETURNS booking.past_holds[] LANGUAGE plpgsql STABLE
-- From the holds past their time to those of their lines that matter, never the other way round.
SET enable_nestloop = on
AS $$
DECLARE
    s         booking.stock;
    past      booking.past_holds[] := '{}';
    slot_ids  uuid[] := '{}';
    places    integer[] := '{}';
    asked     integer[] := '{}';
    hold      record;
BEGIN
    FOR place IN 1..coalesce(cardinality(stock), 0) LOOP
        s := stock[place];
        IF s.held > 0 THEN
            slot_ids := slot_ids || s.slot_id;
            places := places || place;
        END IF;
    END LOOP;
    IF slot_ids = '{}' THEN
        RETURN past;
    END IF;
    -- Each hold gives back a unit or more, and earlier commands may claim some.
    asked := ARRAY(SELECT claimable + least(coalesce(sum(l.units), 0), 4096)::integer
                   FROM unnest(slot_ids) WITH ORDINALITY AS there(slot_id, nth)
                   LEFT JOIN unnest(lines) AS l USING (slot_id) GROUP BY nth ORDER BY nth);
    FOR hold IN
        SELECT index, array_agg(booking_id ORDER BY expires_at, booking_id) AS booking_ids,
               array_agg(units ORDER BY expires_at, booking_id) AS units
        FROM (SELECT b.booking_id, b.expires_at, l.units,
                     array_position(slot_ids, l.slot_id) AS index,
                     row_number() OVER (PARTITION BY l.slot_id
                                        ORDER BY b.expires_at, b.booking_id) AS nth
              FROM booking.booking AS b CROSS JOIN LATERAL (
                  SELECT * FROM booking.booking_line
                  WHERE booking_id = b.booking_id AND slot_id = ANY (slot_ids) OFFSET 0) AS l
              WHERE b.state = 'held' AND b.expires_at <= moment) AS candidate
        WHERE nth <= asked[index]
        GROUP BY index
    LOOP
        past[places[hold.index]] := ROW(hold.booking_ids, hold.units);
    END LOOP;
    RETURN past;
END $$;

-- The same for customers at their limit: the holds past their time that the batch's customers have on
-- slots with such a limit, by slot and customer. One look, too: else each refusal would walk through all
-- holds past their time, and whoever asks for too much again and again would stop everybody.
CREATE TYPE booking.customer_holds AS (slot_id uuid, customer_id uuid, past booking.past_holds);

CREATE FUNCTION booking.look_for_customers_holds(
    commands booking.command[], targets uuid[], stock booking.stock[], moment timestamptz)
RETURNS booking.customer_holds[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    slot_ids  uuid[] := ARRAY(SELECT slot_id FROM unnest(stock)
                              WHERE units_per_customer_max IS NOT NULL);
    customers uuid[] := ARRAY(SELECT customer_id FROM unnest(commands)
                              UNION SELECT customer_id FROM booking.booking
                                    WHERE booking_id = ANY (targets));
    holds     uuid[] := ARRAY(SELECT b.booking_id
                              FROM booking.booking AS b JOIN unnest(customers) AS customer_id
                                  USING (customer_id)
                              WHERE b.state = 'held' AND b.expires_at <= moment);
BEGIN
    RETURN ARRAY(
        SELECT ROW(l.slot_id, b.customer_id, ROW(
                   array_agg(booking_id ORDER BY b.expires_at, booking_id),
                   array_agg(l.units ORDER BY b.expires_at, booking_id)
                   )::booking.past_holds)::booking.customer_holds
        FROM booking.booking AS b JOIN booking.booking_line AS l USING (booking_id)
        WHERE b.booking_id = ANY (holds) AND l.booking_id = ANY (holds)
          AND l.slot_id = ANY (slot_ids)
        GROUP BY l.slot_id, b.customer_id);
END $$;

-- Those of one customer on one slot.
CREATE FUNCTION booking.holds_of(
    theirs booking.customer_holds[], of_slot uuid, of_customer uuid)
RETURNS booking.past_holds LANGUAGE sql IMMUTABLE
RETURN (SELECT past FROM unnest(theirs) WHERE slot_id = of_slot AND customer_id = of_customer);

-- The oldest of such holds, as many as give `short_by` units.
CREATE FUNCTION booking.oldest(past booking.past_holds, claimed uuid[], short_by integer)
RETURNS uuid[] LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT booking_id
    FROM (SELECT booking_id, nth, sum(units) OVER (ORDER BY nth) - units AS freed_before
          FROM unnest((past).booking_ids, (past).units) WITH ORDINALITY AS hold(booking_id, units, nth)
          WHERE booking_id <> ALL (claimed)) AS candidate
    WHERE freed_before < short_by
    ORDER BY nth);

-- What some bookings have of a slot, together.
CREATE FUNCTION booking.units_of(bookings uuid[], of_slot uuid) RETURNS integer
LANGUAGE sql STABLE
RETURN CASE WHEN bookings = '{}' THEN 0 ELSE coalesce(
    (SELECT sum(units)::integer FROM booking.booking_line
     WHERE booking_id = ANY (bookings) AND slot_id = of_slot), 0) END;

-- The holds that are to expire for a command, at the head of the next batch, right before it. Returns
-- them (none where it only waits for those of an earlier command), or null when no hold can help;
-- whether they are `enough`; and the place of a slot of which there is none left.
CREATE FUNCTION booking.reclaim(
    c booking.question, broken text, stock booking.stock[], past booking.past_holds[],
    theirs booking.customer_holds[], claimed uuid[],
    OUT expired uuid[], OUT enough boolean, OUT barren integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    of_limit   boolean := broken = 'customer-limit-exceeded';
    waits      boolean := false;
    customer   uuid := coalesce(c.customer_id, c.booked_by);
    s          booking.stock;
    short_by   integer;
    candidates booking.past_holds;
    more       uuid[];
BEGIN
    IF broken = 'lines-changed' THEN
        expired := '{}';
        enough := false;
        RETURN;
    ELSIF broken NOT IN ('customer-limit-exceeded', 'capacity-exceeded', 'awaited') THEN
        RETURN;
    END IF;
    expired := '{}';
    enough := true;
    FOR k IN 1..cardinality(c.places) LOOP
        CONTINUE WHEN c.moves[k] <= 0;
        s := stock[c.places[k]];
        waits := waits OR s.awaited;
        CONTINUE WHEN of_limit AND s.units_per_customer_max IS NULL
                   OR NOT of_limit AND c.kind = 'TransferBooking';
        short_by := c.moves[k] - CASE
            WHEN of_limit THEN s.units_per_customer_max - booking.units_used(s.slot_id, customer)
            ELSE s.capacity + s.overbooking_units - s.held - s.confirmed + s.coming END;
        IF expired <> '{}' THEN
            short_by := short_by - booking.units_of(expired, s.slot_id);
        END IF;
        CONTINUE WHEN short_by <= 0;
        candidates := CASE WHEN of_limit THEN booking.holds_of(theirs, s.slot_id, customer)
                           ELSE past[c.places[k]] END;
        more := CASE WHEN candidates IS NULL THEN '{}' ELSE
            booking.oldest(candidates, claimed || expired || c.booking_id, short_by) END;
        IF more = '{}' THEN
            -- None left for anybody; unless it is its own hold, which is no help to itself alone, or
            -- those it takes for a slot before: if it is refused, the next may have them.
            IF NOT of_limit AND c.state IS NULL AND expired = '{}' THEN
                barren := c.places[k];
            END IF;
            IF NOT s.awaited THEN
                expired := NULL;
                RETURN;
            END IF;
        END IF;
        enough := enough AND booking.units_of(more, s.slot_id) >= short_by;
        expired := expired || more;
        waits := true;
    END LOOP;
    IF NOT waits THEN
        expired := NULL;
    END IF;
END $$;

-- The slots once a command waits for holds to expire: theirs and its own are awaited, and of the
-- units that come it takes what it asks for if they are `enough`.
CREATE FUNCTION booking.await_expiry(
    stock booking.stock[], c booking.question, expired uuid[], enough boolean)
RETURNS booking.stock[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    s     booking.stock;
    place integer;
    freed integer;
BEGIN
    FOR place, freed IN
        SELECT at.place, sum(l.units)
        FROM booking.booking_line AS l
        JOIN (SELECT slot_id, row_number() OVER () AS place FROM unnest(stock)) AS at USING (slot_id)
        WHERE l.booking_id = ANY (expired) GROUP BY at.place
    LOOP
        s := stock[place];
        s.awaited := true;
        IF c.slot_id IS NULL THEN
            s.coming := s.coming + freed;
        END IF;
        stock[place] := s;
    END LOOP;
    FOR k IN 1..cardinality(c.places) LOOP
        CONTINUE WHEN c.places[k] IS NULL;
        s := stock[c.places[k]];
        s.awaited := true;
        IF enough AND c.moves[k] > 0 AND c.kind <> 'TransferBooking' THEN
            s.coming := s.coming - c.moves[k];
        END IF;
        stock[c.places[k]] := s;
    END LOOP;
    RETURN stock;
END $$;

-- Not decided yet: these holds are to expire first, at the head of the next batch, and the command
-- comes right after them.
CREATE FUNCTION booking.after_expiry(ordinal integer, expired uuid[])
RETURNS booking.answer LANGUAGE sql IMMUTABLE
RETURN booking.refusal(ordinal, 'again', 503, json_build_object('expired', expired)::text);
