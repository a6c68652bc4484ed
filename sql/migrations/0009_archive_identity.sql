-- Which archive this is, whatever its database is called: Dagster's own database notes it, so that no other archive takes
-- that database for its own. A copy of an archive has the same.
CREATE TABLE archive_identity (
    id      uuid NOT NULL DEFAULT gen_random_uuid(),
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);
INSERT INTO archive_identity DEFAULT VALUES;
