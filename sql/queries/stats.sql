-- What the archive holds, and whether it is sound: at a cost that does not grow with it. Large tables are sampled.

-- name: table_sizes
-- Our tables: bytes on disk with indexes, and the rows by the planner's statistics, scaled to the size of today. Null
-- where it is cheap to count (16 MB), or where nothing was analyzed yet.
SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid),
       CASE WHEN pg_relation_size(oid) > 16 * 2 ^ 20 AND reltuples >= 0 AND relpages > 0
            THEN (reltuples / relpages * (pg_relation_size(oid) / current_setting('block_size')::integer))::bigint END
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
ORDER BY relname;

-- name: sample_events
-- Whole pages at random: few pages are read, however many there are.
CREATE TEMPORARY TABLE sampled_event ON COMMIT DROP AS
SELECT id, kind, created_at FROM event TABLESAMPLE SYSTEM (%(percent)s);

-- name: sampled_events
SELECT count(*) FROM sampled_event;

-- name: sampled_by_kind
SELECT kind, count(*) FROM sampled_event GROUP BY kind ORDER BY 2 DESC, 1 LIMIT %(most)s;

-- name: sampled_by_day
-- The newest days; what is dated ahead of today is left out.
SELECT created_at / 86400, count(*) FROM sampled_event
WHERE created_at <= extract(epoch FROM now()) GROUP BY 1 ORDER BY 1 DESC LIMIT %(most)s;

-- name: sampled_by_network
-- Of a few of the sampled events (ids are hashes: their order is as good as a draw), how many each network holds,
-- and how often. The first row is of all networks.
WITH few AS (
    SELECT id FROM sampled_event ORDER BY id LIMIT %(most)s
), seen AS (
    SELECT few.id, coalesce(relay.network, 'unregistered') AS network
    FROM few JOIN event_relay ON event_relay.event_id = few.id LEFT JOIN relay ON relay.url = event_relay.relay_url
)
SELECT NULL, (SELECT count(*) FROM few), (SELECT count(*) FROM seen)
UNION ALL
SELECT * FROM (SELECT network, count(DISTINCT id), count(*) FROM seen GROUP BY network ORDER BY network) AS each;

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
-- Of observations drawn at random: how many there were, and those whose event is not stored.
WITH drawn AS (
    SELECT DISTINCT follower.event_id, follower.relay_url
    FROM unnest(%(ids)s::bytea[]) AS start (id)
    CROSS JOIN LATERAL (
        SELECT event_id, relay_url FROM event_relay WHERE event_id >= start.id ORDER BY event_id LIMIT %(each)s
    ) AS follower
)
SELECT count(*), array_agg(encode(event_id, 'hex')) FILTER (WHERE event.id IS NULL)
FROM drawn LEFT JOIN event ON event.id = drawn.event_id;

-- name: all_orphans
-- As draw_orphans, of every observation: for the patient.
SELECT count(*), array_agg(encode(event_id, 'hex')) FILTER (WHERE event.id IS NULL)
FROM event_relay LEFT JOIN event ON event.id = event_relay.event_id;
