-- Which relays are archived, and which of them are due.

-- name: add_relays
INSERT INTO relay (url, network, discovered_at)
SELECT url, network, extract(epoch FROM now())::bigint
FROM unnest(%(urls)s::text[], %(networks)s::text[]) AS given (url, network)
ON CONFLICT DO NOTHING;

-- name: remove_relays
DELETE FROM relay WHERE url = ANY(%(urls)s);

-- name: list_relays
SELECT url, network FROM relay ORDER BY url;

-- name: count_relays
SELECT network, count(*) FROM relay GROUP BY network ORDER BY network;

-- name: due_relays
-- Relays whose last attempt began at least `interval` seconds ago and that are not waiting after a failure; the
-- most behind first, equals in random order.
SELECT relay.url, relay.network
FROM relay
LEFT JOIN relay_limits ON relay_limits.relay_url = relay.url
LEFT JOIN service_state AS cursor
    ON cursor.service_name = 'synchronizer' AND cursor.state_type = 'cursor' AND cursor.state_key = relay.url
WHERE relay.network = ANY(%(networks)s)
  AND (relay_limits.attempted_at IS NULL
       OR relay_limits.attempted_at <= now() - make_interval(secs => %(interval)s))
  AND (relay_limits.retry_at IS NULL OR relay_limits.retry_at <= now())
ORDER BY coalesce((cursor.state_value ->> 'timestamp')::bigint, 0), random();

-- name: unattempted_relays
SELECT relay.url, relay.network
FROM relay LEFT JOIN relay_limits ON relay_limits.relay_url = relay.url
WHERE relay.network = ANY(%(networks)s) AND relay_limits.attempted_at IS NULL
ORDER BY relay.url;

-- name: fresh_relays
SELECT relay_url FROM relay_limits
WHERE relay_url = ANY(%(urls)s) AND succeeded_at > now() - make_interval(secs => %(interval)s);

-- name: archive_counts
-- Row counts from the planner's statistics where a table is large: an exact count of a billion rows takes minutes.
-- The rows of `event_relay` are those of `observation`. A partitioned table is the sum of its parts.
SELECT name, CASE WHEN rows < 100000 THEN NULL ELSE rows::bigint END, bytes::bigint
FROM (VALUES ('event', 'event'), ('event_relay', 'observation'), ('relay', 'relay')) AS shown (name, kept)
CROSS JOIN LATERAL (
    SELECT sum(reltuples), sum(pg_total_relation_size(oid))
    FROM pg_class
    WHERE relkind = 'r' AND (oid = kept::regclass OR oid IN (SELECT relid FROM pg_partition_tree(kept::regclass)))
) AS size (rows, bytes);
