-- What a role may do that syncs and reads, and changes no schema.

-- name: grants
-- The orders that let a role work with the archive, of whatever of its tables and views is there: facts are added,
-- and never changed; what is known of relays changes.
WITH wanted (name, privileges) AS (
    VALUES ('event', 'SELECT, INSERT'),
           ('observation', 'SELECT, INSERT'),
           ('event_relay', 'SELECT'),
           ('relay_key', 'SELECT, INSERT'),
           ('relay', 'SELECT, INSERT, UPDATE, DELETE'),  -- UPDATE: rows are locked while what belongs to them is written
           ('metadata', 'SELECT, INSERT'),
           ('relay_metadata', 'SELECT, INSERT'),
           ('relay_metadata_latest', 'SELECT'),
           ('archive_identity', 'SELECT'),
           ('schema_migration', 'SELECT'),
           ('event_quarantine', 'SELECT, INSERT, DELETE'),
           ('gone_event', 'SELECT, INSERT, DELETE'),
           ('leave_out', 'SELECT, INSERT'),
           ('relay_partition', 'SELECT, INSERT, DELETE'),
           ('partition_stamp', 'SELECT, UPDATE'),
           ('service_state', 'SELECT, INSERT, UPDATE, DELETE'),
           ('relay_candidate', 'SELECT, INSERT, UPDATE, DELETE'),
           ('relay_health', 'SELECT, INSERT, UPDATE'),
           ('relay_limits', 'SELECT, INSERT, UPDATE, DELETE'),
           ('sync_attempt', 'SELECT, INSERT, UPDATE, DELETE'),
           ('sync_coverage', 'SELECT, INSERT, UPDATE, DELETE'),
           ('sync_cycle', 'SELECT, INSERT, UPDATE, DELETE'),
           ('sync_cycle_total', 'SELECT, UPDATE'),
           ('sync_gap', 'SELECT, INSERT, UPDATE, DELETE'),
           ('sync_total', 'SELECT, INSERT, UPDATE'),
           ('withheld_event', 'SELECT, INSERT, UPDATE, DELETE')
), given (place, text) AS (
    SELECT 0, format('CREATE ROLE %%I LOGIN;  -- then give it a password: \password %%1$I', %(role)s::text)
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)
    UNION ALL
    -- TEMPORARY: what arrives lands in tables of the session first.
    SELECT 1, format('GRANT CONNECT, TEMPORARY ON DATABASE %%I TO %%I;', current_database(), %(role)s::text)
    UNION ALL
    SELECT 2, format('GRANT USAGE ON SCHEMA %%I TO %%I;', current_schema(), %(role)s::text)
    UNION ALL
    SELECT 3, format('GRANT %%s ON %%I TO %%I;', privileges, name, %(role)s::text)
    FROM wanted WHERE to_regclass(quote_ident(name)) IS NOT NULL
    UNION ALL
    SELECT 4, format('GRANT USAGE ON SEQUENCE event_seq TO %%I;', %(role)s::text)
)
SELECT text FROM given ORDER BY place, text;

-- name: grants_on_dagster
-- Dagster makes its tables itself, in a database of its own.
SELECT CASE WHEN EXISTS (SELECT FROM pg_database WHERE datname = %(database)s)
            THEN format('ALTER DATABASE %%I OWNER TO %%I;', %(database)s::text, %(role)s::text)
            ELSE format('CREATE DATABASE %%I OWNER %%I ENCODING ''UTF8'' TEMPLATE template0;',
                        %(database)s::text, %(role)s::text) END;
