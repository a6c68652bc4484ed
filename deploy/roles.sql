-- Databases and roles, once, as PostgreSQL's superuser: psql -f roles.sql. The passwords are in the environment.
-- bigbrotr owns the archive and migrates it, bigbrotr_sync may only fill and read it (migrate.sh grants it that), dagster
-- owns Dagster's database.
\set ON_ERROR_STOP on
\getenv archive_password ARCHIVE_PASSWORD
\getenv sync_password SYNC_PASSWORD
\getenv dagster_password DAGSTER_POSTGRES_PASSWORD
CREATE ROLE bigbrotr LOGIN PASSWORD :'archive_password';
CREATE ROLE bigbrotr_sync LOGIN PASSWORD :'sync_password';
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE DATABASE bigbrotr OWNER bigbrotr ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE bigbrotr_dagster OWNER dagster ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE bigbrotr, bigbrotr_dagster FROM PUBLIC;
