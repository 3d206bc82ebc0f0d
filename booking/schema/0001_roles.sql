-- The five roles, and the two schemas of the write side: its own, and what others may see of it.
--
-- Everything is owned by booking_owner, which nobody works as. Each process takes one of the other
-- four with its connection, so what a process may do stands in these files and not in its code:
-- rights to tables and views beside them, the right to call functions in 0011 (to end an epoch: in 0003).
-- Roles belong to the whole server, so two databases migrated at once may meet here.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'booking_owner', 'booking_writer', 'booking_relay', 'projector_writer', 'query_reader']
    LOOP
        IF to_regrole(wanted) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- made by another database's migration at this very moment
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END $$;

CREATE SCHEMA booking AUTHORIZATION booking_owner;    -- the write side's own
CREATE SCHEMA published AUTHORIZATION booking_owner;  -- all that others may see of it

REVOKE ALL ON SCHEMA public FROM PUBLIC;
