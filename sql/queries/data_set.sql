-- A data set's files as views; these are DuckDB's statements, and everything else here is PostgreSQL's. `files` is a
-- pattern: a view reads its files when it is asked, and the first of them when it is made.

-- name: data_set_clock
-- Times are shown in UTC, wherever this machine is.
SET TimeZone = 'UTC';

-- name: data_set_event
-- The events of all days, and the `date` of each. A day that has another one beside it in a filter is not opened.
CREATE VIEW event AS
SELECT * FROM read_parquet({files}, hive_partitioning = true, hive_types = {{'date': DATE}});

-- name: data_set_observation
-- Who was seen with the events of all days, and when first; `date` is the event's.
CREATE VIEW observation AS
SELECT * FROM read_parquet({files}, hive_partitioning = true, hive_types = {{'date': DATE}});

-- name: data_set_manifest
-- One row for each day. The columns are given, so that no file has to be read to guess them.
CREATE VIEW manifest AS
SELECT * FROM read_json(
    {files}, format = 'unstructured', maximum_object_size = 1073741824,
    columns = {{
        date: 'DATE', since: 'BIGINT', until: 'BIGINT', format: 'INTEGER', archive: 'VARCHAR', made_at: 'TIMESTAMPTZ',
        made_by: 'VARCHAR',
        totals: 'STRUCT(events BIGINT, observations BIGINT, largest_seq BIGINT, latest_seen_at BIGINT)',
        coverage: 'STRUCT(share DOUBLE, covered VARCHAR[], not_covered STRUCT(url VARCHAR, pending_seconds BIGINT,
                   gap_seconds MAP(VARCHAR, BIGINT))[], not_asked VARCHAR[])',
        files: 'STRUCT("path" VARCHAR, bytes BIGINT, sha256 VARCHAR)[]'
    }}
);

-- name: data_set_coverage
-- One row for each day and relay: whether it proves the day (`covered`, `not_covered`, `not_asked`), and what it lacks.
CREATE VIEW coverage AS
SELECT date, unnest(coverage.covered) AS relay_url, 'covered' AS state, 0::BIGINT AS pending_seconds,
       MAP {{}}::MAP(VARCHAR, BIGINT) AS gap_seconds
FROM manifest
UNION ALL
SELECT date, lacking.url, 'not_covered', lacking.pending_seconds, lacking.gap_seconds
FROM (SELECT date, unnest(coverage.not_covered) AS lacking FROM manifest)
UNION ALL
SELECT date, unnest(coverage.not_asked), 'not_asked', NULL, NULL FROM manifest;
