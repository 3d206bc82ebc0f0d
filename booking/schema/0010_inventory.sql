-- Resources and slots: commands of the back office, one transaction each. They recall, decide and
-- record as bookings do; nobody queues for them, so they are not batched.
--
-- Lock order as everywhere: resources, slots, head of the log.

SET LOCAL ROLE booking_owner;

-- A resource's days are cut by the database, in the resource's time zone. The API knows the names of
-- its own machine, and some of those are of that machine only (`localtime`), or newer than the
-- database's: a resource in such a zone would be made and could never be shown by day.
CREATE FUNCTION booking.knows_time_zone(name text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM transaction_timestamp() AT TIME ZONE name;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;

CREATE FUNCTION booking.json_policy(r booking.resource) RETURNS text LANGUAGE sql IMMUTABLE
RETURN format('{"hold_seconds":%s,"units_per_booking_max":%s,"units_per_customer_max":%s,'
    '"overbooking_units":%s}', (r).hold_seconds,
    coalesce((r).units_per_booking_max::text, 'null'),
    coalesce((r).units_per_customer_max::text, 'null'), (r).overbooking_units);

CREATE FUNCTION booking.create_resource(
    command booking.command, resource_id uuid, name text, time_zone text, hold_seconds integer,
    units_per_booking_max integer, units_per_customer_max integer, overbooking_units integer)
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
DECLARE
    made   booking.resource := ROW(resource_id, name, time_zone, hold_seconds,
                                   units_per_booking_max, units_per_customer_max,
                                   overbooking_units, 1);
    facts  text := format('"resource_id":"%s","name":%s,"time_zone":%s', made.resource_id,
                          to_json(made.name), to_json(made.time_zone));
    number record;
BEGIN
    RETURN QUERY SELECT * FROM booking.replay(command);
    IF FOUND THEN
        RETURN;
    END IF;
    IF command.deadline < clock_timestamp() THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'not-decided', 503, '{}');
        RETURN;
    END IF;
    IF NOT booking.knows_time_zone(made.time_zone) THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'invalid-request', 422,
            '{"errors":[{"pointer":"/time_zone","detail":"The database does not know this name"}]}');
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM booking.resource AS r WHERE r.resource_id = made.resource_id) THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'already-exists', 409,
            format('{"resource_id":"%s"}', made.resource_id));
        RETURN;
    END IF;

    SELECT * INTO number FROM booking.number(1);
    INSERT INTO booking.resource SELECT made.*;
    INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id,
        correlation_id, traceparent, resource_id, slot_ids, slots, data)
    VALUES (number.before_first + 1, 'ResourceCreated', number.recorded_at, command.caller,
        command.command_id, command.correlation_id, command.traceparent, made.resource_id, '{}',
        '[]', format('{%s,"policy":%s,"version":1}', facts, booking.json_policy(made))::json);
    RETURN QUERY SELECT * FROM booking.keep(command, 201, '/v1/resources/' || made.resource_id, 1,
        number.epoch, number.before_first + 1, number.recorded_at,
        format('{%s,"version":1,"position":%s,"policy":%s}', facts, number.before_first + 1,
            booking.json_policy(made)));
END $$;

-- New rules for future bookings. Where customers' uses begin or cease to be counted, nobody books while
-- the slots are locked, and whoever locks one afterwards reads the new rule. Else nobody waits: a batch
-- that was judged by the old rules and comes after this in the log is run again (0009).
CREATE FUNCTION booking.set_policy(
    command booking.command, resource_id uuid, hold_seconds integer,
    units_per_booking_max integer, units_per_customer_max integer, overbooking_units integer)
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known  booking.resource;
    wished booking.resource;
    body   text;
    number record;
    counted_as_of bigint;  -- a position of the log
BEGIN
    SELECT * INTO known FROM booking.resource AS r
    WHERE r.resource_id = resource_id FOR NO KEY UPDATE;

    RETURN QUERY SELECT * FROM booking.replay(command);
    IF FOUND THEN
        RETURN;
    END IF;
    IF command.deadline < clock_timestamp() THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'not-decided', 503, '{}');
        RETURN;
    END IF;
    IF known.resource_id IS NULL THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'resource-not-found', 404,
            format('{"resource_id":"%s"}', resource_id));
        RETURN;
    END IF;
    IF NOT known.version = ANY (command.if_match) THEN
        RETURN QUERY SELECT r.ordinal, r.outcome, r.status, r.body, r.location, known.version,
            r.epoch, r."position", r.as_of
        FROM booking.refuse(command, 'version-mismatch', 412, format('{"expected":[%s],"actual":%s}',
            array_to_string(command.if_match, ','), known.version)) AS r;
        RETURN;
    END IF;

    wished := ROW(known.resource_id, known.name, known.time_zone, hold_seconds,
                  units_per_booking_max, units_per_customer_max, overbooking_units, known.version);
    IF wished IS NOT DISTINCT FROM known THEN
        SELECT epoch, "position", recorded_at INTO number FROM booking.log_head FOR NO KEY UPDATE;
    ELSE
        wished.version := known.version + 1;
        IF (known.units_per_customer_max IS NULL) <> (units_per_customer_max IS NULL) THEN
            IF units_per_customer_max IS NOT NULL THEN
                counted_as_of := booking.count_uses(resource_id);
                counted_as_of := booking.count_uses_since(resource_id, counted_as_of);
            END IF;
            PERFORM FROM booking.slot AS s WHERE s.resource_id = resource_id
            ORDER BY s.slot_id FOR NO KEY UPDATE;
            IF units_per_customer_max IS NOT NULL THEN
                PERFORM booking.count_uses_since(resource_id, counted_as_of);
            ELSE
                DELETE FROM booking.customer_use AS u USING booking.slot AS s
                WHERE s.resource_id = resource_id AND u.slot_id = s.slot_id;
            END IF;
        END IF;
        SELECT epoch, before_first + 1 AS "position", recorded_at INTO number FROM booking.number(1);
        UPDATE booking.resource AS r
        SET hold_seconds = wished.hold_seconds, version = wished.version,
            units_per_booking_max = wished.units_per_booking_max,
            units_per_customer_max = wished.units_per_customer_max,
            overbooking_units = wished.overbooking_units
        WHERE r.resource_id = resource_id AND r.version = known.version;
        INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id,
            correlation_id, traceparent, resource_id, slot_ids, slots, data)
        VALUES (number."position", 'PolicyChanged', number.recorded_at, command.caller,
            command.command_id, command.correlation_id, command.traceparent, resource_id, '{}',
            '[]', format('{"resource_id":"%s","policy":%s,"version":%s}', resource_id,
                booking.json_policy(wished), wished.version)::json);
    END IF;
    body := format('{"resource_id":"%s","name":%s,"time_zone":%s,"version":%s,"position":%s,'
        '"policy":%s}', resource_id, to_json(wished.name), to_json(wished.time_zone),
        wished.version, number."position", booking.json_policy(wished));
    RETURN QUERY SELECT * FROM booking.keep(command, 200, NULL, wished.version, number.epoch,
        number."position", number.recorded_at, body);
END $$;

-- All slots or none, one event each, in the order they were sent.
CREATE FUNCTION booking.open_slots(
    command booking.command, resource_id uuid, slot_ids uuid[], starts_at timestamptz[],
    ends_at timestamptz[], capacities integer[])
RETURNS SETOF booking.answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    of_resource uuid := resource_id;
    overbooking integer;
    taken       text;
    opened      booking.slot[];
    number      record;
BEGIN
    -- Kept from changing until the commit: its overbooking_units are copied into the slots.
    SELECT r.overbooking_units INTO overbooking
    FROM booking.resource AS r WHERE r.resource_id = of_resource FOR SHARE;

    RETURN QUERY SELECT * FROM booking.replay(command);
    IF FOUND THEN
        RETURN;
    END IF;
    IF command.deadline < clock_timestamp() THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'not-decided', 503, '{}');
        RETURN;
    END IF;
    IF overbooking IS NULL THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'resource-not-found', 404,
            format('{"resource_id":"%s"}', of_resource));
        RETURN;
    END IF;
    taken := (SELECT string_agg('"' || s.slot_id || '"', ',' ORDER BY s.slot_id)
              FROM booking.slot AS s WHERE s.slot_id = ANY (slot_ids));
    IF taken IS NOT NULL THEN
        RETURN QUERY SELECT * FROM booking.refuse(command, 'already-exists', 409,
            format('{"slot_ids":[%s]}', taken));
        RETURN;
    END IF;

    opened := ARRAY(
        SELECT ROW(w.slot_id, of_resource, w.starts_at, w.ends_at, 'open', w.capacity, overbooking,
                   0, 0, 1)::booking.slot
        FROM unnest(slot_ids, starts_at, ends_at, capacities) WITH ORDINALITY
            AS w(slot_id, starts_at, ends_at, capacity, sent)
        ORDER BY w.sent);
    SELECT * INTO number FROM booking.number(cardinality(opened));
    INSERT INTO booking.slot SELECT * FROM unnest(opened) ORDER BY slot_id;
    INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id,
        correlation_id, traceparent, resource_id, slot_ids, slots, data)
    SELECT number.before_first + s.sent, 'SlotOpened', number.recorded_at, command.caller,
        command.command_id, command.correlation_id, command.traceparent, of_resource,
        ARRAY[s.slot_id],
        ('[' || booking.json_slot_change(ROW(NULL, s.slot_id, of_resource, 0, 0, 0, 1, 'open',
            s.capacity, s.overbooking_units, 0, 0)::booking.slot_change) || ']')::json,
        format('{"starts_at":"%s","ends_at":"%s"}', booking.rfc3339(s.starts_at),
            booking.rfc3339(s.ends_at))::json
    FROM unnest(opened) WITH ORDINALITY AS s(slot_id, resource_id, starts_at, ends_at, state,
        capacity, overbooking_units, held, confirmed, version, sent);
    RETURN QUERY SELECT * FROM booking.keep(command, 201, NULL, NULL, number.epoch,
        number.before_first + cardinality(opened), number.recorded_at,
        (SELECT format('{"resource_id":"%s","position":%s,"slots":[%s]}', of_resource,
                    number.before_first + cardinality(opened),
                    string_agg(booking.json_slot(ROW(NULL, s.slot_id, of_resource, 0, 0, 0, 1, 'open',
                        s.capacity, s.overbooking_units, 0, 0)::booking.slot_change, s.starts_at,
                        s.ends_at) || '}', ',' ORDER BY s.sent))
         FROM unnest(opened) WITH ORDINALITY AS s(slot_id, resource_id, starts_at, ends_at, state,
            capacity, overbooking_units, held, confirmed, version, sent)));
END $$;
