-- Epochs order by time, so that whoever holds two knows which history came later. A server whose clock
-- is behind, as after a restore on another machine, must not break that: a new epoch is later than the
-- one it ends and than any that somebody has seen.

SET LOCAL ROLE booking_owner;

-- `seen` is the latest epoch the caller knows of: after a restore the log may have forgotten some.
CREATE FUNCTION published.new_epoch(old uuid, seen uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    latest uuid := greatest(old, seen);
    fresh  uuid := uuidv7();
BEGIN
    IF fresh <= latest THEN
        fresh := uuidv7(uuid_extract_timestamp(latest) - clock_timestamp() + interval '2 ms');
    END IF;
    UPDATE booking.log_head SET epoch = fresh WHERE epoch = old;
    RETURN (SELECT epoch FROM booking.log_head);
END $$;

CREATE OR REPLACE FUNCTION published.new_epoch(old uuid) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
    SELECT published.new_epoch(old, old);
$$;

REVOKE EXECUTE ON FUNCTION published.new_epoch(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION published.new_epoch(uuid, uuid)
    TO booking_writer, booking_relay, projector_writer;
