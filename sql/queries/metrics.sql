-- What a monitor asks every few seconds: each query reads the registry, the ledger or statistics, never the archive.

-- name: metrics_relays
-- By network: relays that failed last time, that succeeded, of which no sync has ended yet, that are left alone
-- until their next try, and that have no cursor; the lag of the cursors; the latest success.
SELECT relay.network,
       count(*) FILTER (WHERE limits.failures > 0),
       count(*) FILTER (WHERE limits.failures = 0 AND limits.succeeded_at IS NOT NULL),
       count(*) FILTER (WHERE limits.relay_url IS NULL OR limits.failures = 0 AND limits.succeeded_at IS NULL),
       count(*) FILTER (WHERE limits.retry_at > now()),
       count(*) FILTER (WHERE position.lag IS NULL),
       max(position.lag)::float8,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY position.lag::float8),
       extract(epoch FROM max(limits.succeeded_at))::float8
FROM relay
LEFT JOIN relay_limits AS limits ON limits.relay_url = relay.url
LEFT JOIN service_state AS cursor
    ON cursor.service_name = 'synchronizer' AND cursor.state_type = 'cursor' AND cursor.state_key = relay.url
CROSS JOIN LATERAL (
    SELECT greatest(0, extract(epoch FROM now()) - (cursor.state_value ->> 'timestamp')::bigint)
    WHERE cursor.state_key IS NOT NULL
    UNION ALL SELECT NULL WHERE cursor.state_key IS NULL
) AS position (lag)
GROUP BY relay.network ORDER BY relay.network;

-- name: metrics_gaps
-- By reason: open gaps, and their seconds.
SELECT split_part(reason, ':', 1), count(*)::float8, sum(until - since + 1)::float8
FROM sync_gap GROUP BY 1 ORDER BY 1;

-- name: metrics_quarantine
-- Entries by reason, found by the index (a reason is one step); of each at most 100,000 are counted.
WITH RECURSIVE found (reason) AS (
    (SELECT reason FROM event_quarantine ORDER BY reason LIMIT 1)
    UNION ALL
    SELECT (SELECT reason FROM event_quarantine WHERE event_quarantine.reason > found.reason ORDER BY reason LIMIT 1)
    FROM found WHERE found.reason IS NOT NULL
)
SELECT reason, (SELECT count(*) FROM (
    SELECT FROM event_quarantine WHERE event_quarantine.reason = found.reason LIMIT 100000
) AS counted)::float8
FROM found WHERE reason IS NOT NULL;

-- name: metrics_tables
-- Rows by the planner's statistics, scaled to the size of today (before the first ANALYZE: as counted by the
-- statistics of activity), and bytes with indexes. A partitioned table is the sum of its parts.
SELECT name, sum(CASE WHEN reltuples >= 0 AND relpages > 0
                      THEN reltuples / relpages * (pg_relation_size(oid) / current_setting('block_size')::int)
                      ELSE coalesce(pg_stat_get_live_tuples(oid), 0) END)::float8,
       sum(pg_total_relation_size(oid))::float8
FROM unnest(ARRAY['relay', 'event', 'observation', 'relay_key', 'sync_coverage', 'sync_gap', 'sync_attempt',
                  'event_quarantine']) AS given (name)
JOIN pg_class ON relkind = 'r'
             AND (oid = name::regclass OR oid IN (SELECT relid FROM pg_partition_tree(name::regclass)))
GROUP BY name ORDER BY name;

-- name: metrics_totals
-- Some ten rows a relay.
SELECT network, name, sum(value)::float8 FROM sync_total GROUP BY network, name ORDER BY network, name;

-- name: metrics_cycles
-- All cycles that have ended: those that came to their end, those that were stopped, their seconds, and how many took at
-- most so many seconds; when the last one ended.
SELECT ok::float8, stopped::float8, seconds, bounds, buckets,
       (SELECT extract(epoch FROM finished_at)::float8 FROM sync_cycle
        WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1)
FROM sync_cycle_total;

-- name: metrics_open_cycles
-- The runs of cycles that have not ended; some of them may be dead.
SELECT run_id FROM sync_cycle WHERE finished_at IS NULL;

-- name: metrics_relays_of_cycles
-- Of the cycles of these runs, else of the one that ended last: the relays, those whose sync has ended, the events that
-- these sent.
WITH last AS (
    SELECT run_id FROM sync_cycle WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1
), shown AS (
    SELECT run_id, relays, started_at FROM sync_cycle
    WHERE run_id = ANY(CASE WHEN cardinality(%(run_ids)s::text[]) > 0 THEN %(run_ids)s::text[]
                            ELSE ARRAY(SELECT run_id FROM last) END)
)
SELECT coalesce(sum(shown.relays), 0)::float8, coalesce(sum(ended.relays), 0)::float8,
       coalesce(sum(ended.events), 0)::float8
FROM shown
CROSS JOIN LATERAL (
    SELECT count(*), sum(events_received) FROM sync_attempt
    WHERE sync_attempt.run_id = shown.run_id AND sync_attempt.started_at >= shown.started_at
      AND finished_at IS NOT NULL
) AS ended (relays, events);

-- name: standing
-- What ended syncs have come to, the newest event's number, and how many relays there are.
SELECT (SELECT count(*) FROM relay),
       coalesce(sum(value) FILTER (WHERE name = 'attempts:ok'), 0)::bigint,
       coalesce(sum(value) FILTER (WHERE name = 'attempts:failed'), 0)::bigint,
       (SELECT coalesce(max(seq), 0) FROM event)
FROM sync_total;
