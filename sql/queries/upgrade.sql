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
