-- The shadow: where a read model is folded anew, out of every reader's sight, and what puts it in the
-- place of the one that is read. Tables belong to booking_owner and the projector only writes rows, so
-- what it may do to tables stands in these functions. They take the names of tables, because one tuple
-- in the code says which of them a rebuild replaces; a shadow is made like what is there now, with
-- constraints, rights, storage and what the planner learns, so a later migration needs nothing here.

CREATE SCHEMA read_model_shadow AUTHORIZATION booking_owner;

SET LOCAL ROLE booking_owner;

CREATE FUNCTION read_model.drop_shadow() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT relname FROM pg_catalog.pg_class
                WHERE relnamespace = 'read_model_shadow'::regnamespace AND relkind = 'r'
    LOOP
        EXECUTE format('DROP TABLE read_model_shadow.%I', name);
    END LOOP;
END $$;

-- Empty tables like those that are read, with keys (upserts need them) and without the other indexes,
-- which are built when all rows are there. Nobody tidies up a table that is only being filled.
CREATE FUNCTION read_model.begin_shadow(tables text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    name     text;
    original pg_catalog.pg_class;
    learnt   record;
    key      record;
    grantee  record;
BEGIN
    PERFORM read_model.drop_shadow();
    FOREACH name IN ARRAY tables LOOP
        SELECT * INTO STRICT original FROM pg_catalog.pg_class
        WHERE relnamespace = 'read_model'::regnamespace AND relname = name AND relkind = 'r';
        EXECUTE format('CREATE TABLE read_model_shadow.%1$I (LIKE read_model.%1$I INCLUDING ALL '
                       'EXCLUDING INDEXES) WITH (autovacuum_enabled = off)', name);
        IF original.reloptions IS NOT NULL THEN
            EXECUTE format('ALTER TABLE read_model_shadow.%I SET (%s)', name,
                           array_to_string(original.reloptions, ', '));
        END IF;
        FOR learnt IN SELECT attname, attstattarget FROM pg_catalog.pg_attribute
                      WHERE attrelid = original.oid AND attnum > 0 AND attstattarget >= 0
        LOOP
            EXECUTE format('ALTER TABLE read_model_shadow.%I ALTER COLUMN %I SET STATISTICS %s',
                           name, learnt.attname, learnt.attstattarget);
        END LOOP;
        FOR key IN SELECT conname, pg_catalog.pg_get_constraintdef(oid) AS definition
                   FROM pg_catalog.pg_constraint
                   WHERE conrelid = original.oid AND contype IN ('p', 'u')
        LOOP
            EXECUTE format('ALTER TABLE read_model_shadow.%I ADD CONSTRAINT %I %s',
                           name, key.conname, key.definition);
        END LOOP;
        FOR grantee IN SELECT DISTINCT rights.grantee::regrole AS role, rights.privilege_type
                       FROM pg_catalog.aclexplode(original.relacl) AS rights
                       WHERE rights.grantee NOT IN (0, original.relowner)
        LOOP
            EXECUTE format('GRANT %s ON read_model_shadow.%I TO %s',
                           grantee.privilege_type, name, grantee.role);
        END LOOP;
    END LOOP;
END $$;

-- Builds the next index that the shadow lacks and answers its name; null when it lacks none, and what
-- the planner wants to know of the new tables has been gathered.
CREATE FUNCTION read_model.index_shadow() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    missing record;
    name    text;
BEGIN
    SELECT index.relname, pg_catalog.pg_get_indexdef(index.oid) AS definition INTO missing
    FROM pg_catalog.pg_class AS shadow
    JOIN pg_catalog.pg_class AS original
      ON original.relname = shadow.relname AND original.relnamespace = 'read_model'::regnamespace
    JOIN pg_catalog.pg_index AS its ON its.indrelid = original.oid
    JOIN pg_catalog.pg_class AS index ON index.oid = its.indexrelid
    WHERE shadow.relnamespace = 'read_model_shadow'::regnamespace AND shadow.relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS built
                      WHERE built.relnamespace = 'read_model_shadow'::regnamespace
                        AND built.relname = index.relname)
    ORDER BY index.relname LIMIT 1;
    IF FOUND THEN
        EXECUTE replace(missing.definition, ' ON read_model.', ' ON read_model_shadow.');
        RETURN missing.relname;
    END IF;
    FOR name IN SELECT relname FROM pg_catalog.pg_class
                WHERE relnamespace = 'read_model_shadow'::regnamespace AND relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE read_model_shadow.%I RESET (autovacuum_enabled)', name);
        EXECUTE format('ANALYZE read_model_shadow.%I', name);
    END LOOP;
    RETURN NULL;
END $$;

-- The shadow becomes what is read. Only names change, so it takes as long for a million rows as for
-- one. The caller holds the checkpoint, sets lock_timeout, and raises the generation in the same
-- transaction; readers that came meanwhile wait at a table's lock and then find the new one by name.
CREATE FUNCTION read_model.swap_shadow(tables text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    name    text;
    differs text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('LOCK TABLE read_model.%I IN ACCESS EXCLUSIVE MODE', name);
    END LOOP;
    -- A migration while the shadow was filled must not be undone.
    SELECT string_agg(DISTINCT relname, ', ') INTO differs
    FROM ((SELECT relname, attname, atttypid, attnotnull, attgenerated FROM pg_catalog.pg_attribute
           JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'read_model'::regnamespace AND relname = ANY (tables)
             AND attnum > 0 AND NOT attisdropped
           EXCEPT
           SELECT relname, attname, atttypid, attnotnull, attgenerated FROM pg_catalog.pg_attribute
           JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'read_model_shadow'::regnamespace
             AND attnum > 0 AND NOT attisdropped)) AS changed;
    IF differs IS NOT NULL THEN
        RAISE EXCEPTION 'the shadow of % is not made like it', differs
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('DROP TABLE read_model.%I', name);
        EXECUTE format('ALTER TABLE read_model_shadow.%I SET SCHEMA read_model', name);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION read_model.drop_shadow(), read_model.begin_shadow(text[]),
    read_model.index_shadow(), read_model.swap_shadow(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION read_model.drop_shadow(), read_model.begin_shadow(text[]),
    read_model.index_shadow(), read_model.swap_shadow(text[]) TO projector_writer;
GRANT USAGE ON SCHEMA read_model_shadow TO projector_writer;
