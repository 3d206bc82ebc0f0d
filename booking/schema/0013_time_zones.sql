-- A resource's days are cut by the database, in the resource's time zone. The API knows the names of its
-- own machine, and some of those are of that machine only (`localtime`), or newer than the database's: a
-- resource in such a zone would be made and could never be shown by day.

SET LOCAL ROLE booking_owner;

CREATE FUNCTION booking.knows_time_zone(name text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM transaction_timestamp() AT TIME ZONE name;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;

REVOKE EXECUTE ON FUNCTION booking.knows_time_zone(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION booking.knows_time_zone(text) TO booking_writer;

-- As in 0006, but for the time zone.
CREATE OR REPLACE FUNCTION booking.create_resource(
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
