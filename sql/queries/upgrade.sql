-- The embedded server's data, moved from one major version to the next.

-- name: upgrade_databases
-- The databases of a server that hold what users made.
SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname;

-- name: upgrade_tables
-- Every table of a database with its schema, to compare its rows after a move.
SELECT relnamespace::regnamespace::text, relname
FROM pg_class
WHERE relkind = 'r' AND relpersistence <> 't'
    AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1, 2;

-- name: upgrade_count
-- The rows of one table, all of them: nothing may be lost on the way.
SELECT count(*) FROM {table};

-- name: upgrade_create
-- The new database, with the collation of ours in place of that of the dump.
CREATE DATABASE {name} TEMPLATE template0;

-- name: upgrade_analyze
-- A dump brings no statistics, and the planner would guess.
ANALYZE;
