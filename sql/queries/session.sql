-- How every session begins, whatever database, role, environment or URL have set.

-- name: begin_session
-- Sent whole, without parameters, so that the first line ends a timeout before it can strike. Not touched are
-- default_transaction_read_only, row security, tablespaces and durability: who sets those means it.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
-- A client that vanished without a word is noticed within 30 s; by default the server would hold its locks for two
-- hours. On a unix socket these do nothing.
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 4;
SET tcp_user_timeout = 30000;
SET client_encoding = 'UTF8';
SET client_min_messages = 'warning';
SET standard_conforming_strings = on;
SET bytea_output = 'hex';
SET "DateStyle" = 'ISO, MDY';
SET "IntervalStyle" = 'postgres';
SET "TimeZone" = 'UTC';
SET extra_float_digits = 1;
SET array_nulls = on;
SET transform_null_equals = off;
SET quote_all_identifiers = off;
SET exit_on_error = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
-- What not every release knows (14, 17): locks are held by a session that is idle for long.
SELECT set_config(name, '0', false)
FROM (VALUES ('idle_session_timeout'), ('transaction_timeout')) AS given (name)
WHERE current_setting(name, true) IS NOT NULL;
-- Without triggers the totals would stand still. A role that may not set it is told so.
SELECT set_config('session_replication_role', 'origin', false)
WHERE current_setting('session_replication_role') <> 'origin';
-- The schema that holds our tables (or Dagster's, in its own database), `public` before there are any. Where two do, the
-- session's own path decides.
SELECT set_config('search_path', CASE count(*) WHEN 0 THEN 'public' WHEN 1 THEN min(quote_ident(nspname))
                                 ELSE current_setting('search_path') END, false)
FROM (SELECT DISTINCT nspname
      FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
      WHERE relname IN ('sync_coverage', 'event_logs') AND relkind IN ('r', 'p')
        AND has_schema_privilege(pg_namespace.oid, 'USAGE')) AS found;

-- name: archive_identity
-- What this archive is known by, whatever its database is called.
SELECT id::text FROM archive_identity;

-- name: databases
-- Which of these databases the server has.
SELECT datname FROM pg_database WHERE datname = ANY(%(names)s);

-- name: dagster_owner
-- The archive that an instance of Dagster's belongs to, by its own note.
SELECT value FROM kvs WHERE key = %(key)s;

-- name: dagster_partitions
-- The relays of an instance of Dagster's, by its own table of partitions.
SELECT partition FROM dynamic_partitions WHERE partitions_def_name = 'relay';

-- name: registered_among
-- How many of these relays are registered here.
SELECT count(*) FROM relay WHERE url = ANY(%(urls)s);
