-- What the archive holds, and whether it is sound: at a cost that does not grow with it. Large tables are sampled.

-- name: table_sizes
-- Our tables: bytes on disk with indexes, and the rows by the planner's statistics, scaled to the size of today. Null
-- where it is cheap to count (16 MB), or where nothing was analyzed yet. A partitioned table is the sum of its parts.
SELECT whole.relname, sum(pg_total_relation_size(part.oid))::bigint, sum(part.bytes)::bigint,
       CASE WHEN sum(part.bytes) > 16 * 2 ^ 20 AND bool_and(part.bytes = 0 OR part.reltuples >= 0 AND part.relpages > 0)
            THEN sum(part.reltuples / nullif(part.relpages, 0)
                     * (part.bytes / current_setting('block_size')::integer))::bigint END
FROM pg_class AS whole
CROSS JOIN LATERAL (
    SELECT oid, reltuples, relpages, pg_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND (oid = whole.oid OR oid IN (SELECT relid FROM pg_partition_tree(whole.oid)))
) AS part
WHERE whole.relnamespace = current_schema()::regnamespace
  AND whole.relkind IN ('r', 'p') AND NOT whole.relispartition
GROUP BY whole.relname ORDER BY whole.relname;

-- name: table_marks
-- What tells whether rows came to `event`, `event_relay`, `sync_coverage` and `sync_gap`, cheap at any size: the newest
-- event's number, the observations that ended syncs have brought, begun and ended syncs, how often gaps were tried.
SELECT coalesce(newest, 0)::text, concat(coalesce(newest, 0), '-', coalesce(observations, 0)),
       concat((SELECT coalesce(max(id), 0) FROM sync_attempt), '-', coalesce(ended, 0), '-', coalesce(newest, 0)),
       (SELECT concat(count(*), '-', coalesce(sum(tries), 0)) FROM sync_gap)
FROM (SELECT max(seq) AS newest FROM event) AS event,
     (SELECT sum(value) FILTER (WHERE name = 'observations_new') AS observations,
             sum(value) FILTER (WHERE name IN ('attempts:ok', 'attempts:failed')) AS ended FROM sync_total) AS total;

-- name: count_sampled
-- The rows of a table, on so many percent of its pages.
SELECT count(*) FROM {table} TABLESAMPLE SYSTEM ({percent});

-- name: sample_events
-- Whole pages at random: few pages are read, however many there are.
CREATE TEMPORARY TABLE sampled_event ON COMMIT DROP AS
SELECT id, seq, kind, created_at FROM event TABLESAMPLE SYSTEM (%(percent)s);

-- name: sampled_events
-- How many were drawn.
SELECT count(*) FROM sampled_event;

-- name: sampled_by_kind
-- The most common kinds among them.
SELECT kind, count(*) FROM sampled_event GROUP BY kind ORDER BY 2 DESC, 1 LIMIT %(most)s;

-- name: sampled_by_day
-- The newest days; what is dated ahead of today is left out.
SELECT created_at / 86400, count(*) FROM sampled_event
WHERE created_at <= extract(epoch FROM now()) GROUP BY 1 ORDER BY 1 DESC LIMIT %(most)s;

-- name: sampled_by_network
-- Of a few of the sampled events (ids are hashes: their order is as good as a draw), how many each network holds,
-- and how often. The first row is of all networks.
WITH few AS (
    SELECT seq FROM sampled_event ORDER BY id LIMIT %(most)s
), seen AS (
    SELECT few.seq, coalesce(relay.network, 'unregistered') AS network
    FROM few
    JOIN observation ON observation.event_seq = few.seq
    JOIN relay_key ON relay_key.id = observation.relay_id
    LEFT JOIN relay ON relay.url = relay_key.url
)
SELECT NULL, (SELECT count(*) FROM few), (SELECT count(*) FROM seen)
UNION ALL
SELECT * FROM (SELECT network, count(DISTINCT seq), count(*) FROM seen GROUP BY network ORDER BY network) AS each;

-- name: lag_by_network
-- How far the cursors of the relays that can be reached are behind: the median and the slowest in twenty. A relay
-- that failed last time is not counted: its error is its own.
SELECT relay.network, count(*), count(*) FILTER (WHERE position.lag IS NULL),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY position.lag),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY position.lag)
FROM relay
JOIN relay_limits ON relay_limits.relay_url = relay.url AND relay_limits.failures = 0
                 AND relay_limits.succeeded_at IS NOT NULL
LEFT JOIN service_state AS cursor
    ON cursor.service_name = 'synchronizer' AND cursor.state_type = 'cursor' AND cursor.state_key = relay.url
CROSS JOIN LATERAL (
    SELECT greatest(0, extract(epoch FROM now()) - (cursor.state_value ->> 'timestamp')::bigint)::float8
) AS position (lag)
WHERE relay.network = ANY(%(networks)s)
GROUP BY relay.network ORDER BY relay.network;

-- name: failing_relays
-- Of the relays of these networks that were tried: how many there are, and how many failed last time.
SELECT count(*), count(*) FILTER (WHERE relay_limits.failures > 0)
FROM relay JOIN relay_limits ON relay_limits.relay_url = relay.url AND relay_limits.attempted_at IS NOT NULL
WHERE relay.network = ANY(%(networks)s);

-- name: rejections
-- What the last attempts received, and what of it was rejected, by reason.
WITH last AS (
    SELECT events_received, events_rejected FROM sync_attempt ORDER BY id DESC LIMIT %(attempts)s
)
SELECT NULL, coalesce(sum(events_received), 0)::bigint FROM last
UNION ALL
SELECT * FROM (
    SELECT key, sum(value::bigint)::bigint FROM last CROSS JOIN LATERAL jsonb_each_text(events_rejected)
    GROUP BY key HAVING sum(value::bigint) > 0 ORDER BY 2 DESC
) AS reason;

-- name: draw_events
-- Events at random: those that follow ids drawn by the caller.
SELECT DISTINCT drawn.*
FROM unnest(%(ids)s::bytea[]) AS start (id)
CROSS JOIN LATERAL (
    SELECT event.id, pubkey, created_at, kind, tags, content, sig FROM event
    WHERE event.id >= start.id ORDER BY event.id LIMIT %(each)s
) AS drawn;

-- name: draw_orphans
-- Of observations that follow places drawn by the caller (0 to 1): how many there were, and those whose event is not
-- stored, as their relay and the number that the event had.
WITH start AS (
    SELECT least(low + floor(place * (high - low + 1)), high)::bigint AS seq
    FROM (SELECT min(event_seq) AS low, max(event_seq) AS high FROM observation) AS bounds
    CROSS JOIN unnest(%(places)s::float8[]) AS place
), drawn AS (
    SELECT DISTINCT follower.event_seq, follower.relay_id
    FROM start
    CROSS JOIN LATERAL (
        SELECT event_seq, relay_id FROM observation WHERE event_seq >= start.seq
        ORDER BY event_seq, relay_id LIMIT %(each)s
    ) AS follower
)
SELECT count(*), array_agg(format('%%s #%%s', url, event_seq)) FILTER (WHERE event.seq IS NULL)
FROM drawn LEFT JOIN event ON event.seq = event_seq LEFT JOIN relay_key ON relay_key.id = relay_id;

-- name: all_orphans
-- As draw_orphans, of every observation: for the patient.
SELECT count(*), array_agg(format('%%s #%%s', url, event_seq)) FILTER (WHERE event.seq IS NULL)
FROM observation LEFT JOIN event ON event.seq = event_seq LEFT JOIN relay_key ON relay_key.id = relay_id
WHERE %(everywhere)s;
