-- Which relays are archived, and which of them are due.

-- name: add_relays
-- Register these relays; those that are registered stay as they are.
INSERT INTO relay (url, network, discovered_at)
SELECT url, network, extract(epoch FROM now())::bigint
FROM unnest(%(urls)s::text[], %(networks)s::text[]) AS given (url, network)
ON CONFLICT DO NOTHING;

-- name: remove_relays
-- Take these relays off the registry. What is known of them goes with the next cleanup; their events stay.
DELETE FROM relay WHERE url = ANY(%(urls)s);

-- name: list_relays
-- The registry, in order of the URLs.
SELECT url, network FROM relay ORDER BY url;

-- name: due_relays
-- Relays whose last attempt (or else registration: the sensor starts new ones) was at least `interval` seconds ago,
-- and that are not waiting after a failure. Who has waited longest comes first, so that whoever had no turn in one
-- cycle has one in the next; of those whose wait began in the same second the most behind, else in random order.
-- Those that their health calls dead for a day, lately, and that no sync has reached since, come last of all, and after
-- four hours at the earliest.
SELECT relay.url, relay.network
FROM relay
LEFT JOIN relay_limits ON relay_limits.relay_url = relay.url
LEFT JOIN relay_health AS dead
    ON dead.relay_url = relay.url
    AND to_timestamp(dead.dead_since) <= now() - interval '1 day'
    AND to_timestamp(dead.checked_at) >= now() - interval '2 days'
    AND (relay_limits.succeeded_at IS NULL OR relay_limits.succeeded_at < to_timestamp(dead.dead_since))
LEFT JOIN service_state AS cursor
    ON cursor.service_name = 'synchronizer' AND cursor.state_type = 'cursor' AND cursor.state_key = relay.url
WHERE relay.network = ANY(%(networks)s)
  -- least: `discovered_at` is a rounded second, by whoever's clock; a relay of this moment is no relay of the future.
  AND coalesce(relay_limits.attempted_at, least(now(), to_timestamp(relay.discovered_at)))
      <= now() - make_interval(secs => greatest(%(interval)s, CASE WHEN dead.relay_url IS NULL THEN 0 ELSE 14400 END))
  AND (relay_limits.retry_at IS NULL OR relay_limits.retry_at <= now())
ORDER BY dead.relay_url IS NOT NULL,
         date_trunc('second', coalesce(relay_limits.attempted_at, to_timestamp(relay.discovered_at))),
         coalesce((cursor.state_value ->> 'timestamp')::bigint, 0), random();

-- name: unattempted_relays
-- Relays that were never tried, in an order that is the same at each look but no name's.
SELECT relay.url, relay.network
FROM relay LEFT JOIN relay_limits ON relay_limits.relay_url = relay.url
WHERE relay.network = ANY(%(networks)s) AND relay_limits.attempted_at IS NULL
ORDER BY md5(relay.url);

-- name: finished_since
-- Those of the relays whose last attempt began after the given time, and has ended.
SELECT given.url
FROM unnest(%(urls)s::text[], %(since)s::timestamptz[]) AS given (url, since)
CROSS JOIN LATERAL (
    SELECT started_at, finished_at FROM sync_attempt WHERE relay_url = given.url ORDER BY id DESC LIMIT 1
) AS last
WHERE last.started_at >= given.since AND last.finished_at IS NOT NULL;

-- name: fresh_relays
-- Those of the relays whose last success is less than `interval` seconds ago.
SELECT relay_url FROM relay_limits
WHERE relay_url = ANY(%(urls)s) AND succeeded_at > now() - make_interval(secs => %(interval)s);

-- name: went_well
-- Those of the relays whose last sync succeeded.
SELECT relay_url FROM relay_limits WHERE relay_url = ANY(%(urls)s) AND succeeded_at IS NOT NULL AND failures = 0;

-- name: note_partitions
-- Every registered relay is a partition from now on.
INSERT INTO relay_partition (key)
SELECT url FROM relay WHERE NOT EXISTS (SELECT 1 FROM relay_partition WHERE key = url)
ON CONFLICT DO NOTHING
RETURNING key;

-- name: partitioned_relays
-- Registered relays that are noted as partitions: one that was registered a moment ago waits for the next look.
SELECT url, network FROM relay JOIN relay_partition ON key = url ORDER BY url;

-- name: noted_partitions
-- Those of the keys that were partitions of registered relays at the last look.
SELECT key FROM relay_partition WHERE key = ANY(%(keys)s);

-- name: forget_partitions
-- These are partitions no more.
DELETE FROM relay_partition WHERE key = ANY(%(keys)s);

-- name: unregistered_partitions
-- What was a partition at the last look, and is not registered any more.
SELECT key FROM relay_partition WHERE NOT EXISTS (SELECT 1 FROM relay WHERE url = key);

-- name: partition_stamp
-- What the Dagster instance knows that has every partition.
SELECT stamp::text FROM partition_stamp;

-- name: renew_partition_stamp
-- No Dagster instance has every partition, until it is told so.
UPDATE partition_stamp SET stamp = gen_random_uuid() RETURNING stamp::text;

-- name: removed_relays
-- Those of the relays that were registered, and are not any more.
SELECT key FROM relay_partition WHERE key = ANY(%(urls)s) AND NOT EXISTS (SELECT 1 FROM relay WHERE url = key);
