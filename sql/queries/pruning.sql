-- In Dagster's database: its event log, which Dagster itself never prunes.

-- name: oldest_events
-- The last of the next so many events after one, if they are older than a moment; no row where there is none.
SELECT max(id) FROM (
    SELECT id, timestamp FROM event_logs WHERE id > %(after)s ORDER BY id LIMIT %(most)s
) AS next
WHERE timestamp < %(before)s;

-- name: delete_asset_events
-- Events of these assets that are old, in a stretch of the log, where a newer one of the same kind and partition is there.
-- What checks found is kept with the checks.
WITH gone AS (
    DELETE FROM event_logs AS old
    WHERE id > %(after)s AND id <= %(last)s AND timestamp < %(before)s AND asset_key = ANY(%(assets)s)
      AND (dagster_event_type LIKE 'ASSET_CHECK%%' OR EXISTS (
          SELECT FROM event_logs AS newer
          WHERE newer.asset_key = old.asset_key AND newer.dagster_event_type = old.dagster_event_type
            AND newer.partition IS NOT DISTINCT FROM old.partition AND newer.id > old.id
      ))
    RETURNING id
), tags AS (
    DELETE FROM asset_event_tags USING gone WHERE event_id = gone.id
)
SELECT count(*) FROM gone;

-- name: delete_run_events
-- What runs of these jobs with one of these tags said, in a stretch of the log, but for what it says of assets.
WITH gone AS (
    DELETE FROM event_logs AS old USING runs
    WHERE old.id > %(after)s AND old.id <= %(last)s AND old.timestamp < %(before)s AND asset_key IS NULL
      AND runs.run_id = old.run_id AND pipeline_name = ANY(%(jobs)s)
      AND EXISTS (SELECT FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = ANY(%(tags)s))
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: delete_check_executions
-- What checks of these assets found before a moment, where there is something newer of the same check and partition.
WITH gone AS (
    DELETE FROM asset_check_executions AS old
    WHERE asset_key = ANY(%(assets)s) AND create_timestamp < %(before)s AND EXISTS (
        SELECT FROM asset_check_executions AS newer
        WHERE newer.asset_key = old.asset_key AND newer.check_name = old.check_name
          AND newer.partition IS NOT DISTINCT FROM old.partition AND newer.id > old.id
    )
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: delete_runs
-- Runs of these jobs with one of these tags that ended before a moment. Others may have jobs of the same names.
WITH gone AS (
    DELETE FROM runs
    WHERE pipeline_name = ANY(%(jobs)s) AND create_timestamp < %(before)s
      AND update_timestamp < %(before)s AND status IN ('SUCCESS', 'FAILURE', 'CANCELED')
      AND EXISTS (SELECT FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = ANY(%(tags)s))
    RETURNING 1
)
SELECT count(*) FROM gone;
