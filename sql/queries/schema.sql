-- Databases and their schema: made where they are missing, and brought up to date.

-- name: create_database
-- An empty database in UTF-8, whatever the server's own templates are.
CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0;

-- name: create_database_in_c_locale
-- As above, where the server's own locale does not go with UTF-8.
CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';

-- name: wait_to_migrate
-- One process migrates, the others wait for the end of its transaction.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: make_migration_ledger
-- Which migrations this database has had.
CREATE TABLE IF NOT EXISTS schema_migration (
    version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: has_migration_ledger
-- Whether the database was ever migrated.
SELECT to_regclass('schema_migration') IS NOT NULL;

-- name: migrations_done
-- The numbers of the migrations that it has had.
SELECT version FROM schema_migration;

-- name: note_migration
-- It has had this one, too.
INSERT INTO schema_migration (version, name) VALUES (%(version)s, %(name)s);
