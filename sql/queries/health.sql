-- How relays are: which are due for a check, what the checks found, who is alive.

-- name: relays_due_for_health
-- Relays whose last check, ours or BigBrotr's Monitor's, was at least `interval` seconds ago: most overdue first.
SELECT relay.url, relay.network
FROM relay
LEFT JOIN service_state AS checkpoint
    ON checkpoint.service_name = 'monitor' AND checkpoint.state_type = 'checkpoint'
    AND checkpoint.state_key = relay.url
WHERE relay.network = ANY(%(networks)s)
  AND coalesce((checkpoint.state_value ->> 'timestamp')::numeric, 0)
      <= extract(epoch FROM now())::bigint - %(interval)s
ORDER BY coalesce((checkpoint.state_value ->> 'timestamp')::numeric, 0), relay.discovered_at, relay.url;

-- name: known_health
-- The last check of these relays, or (NULL) of every registered one, in order of their URLs.
SELECT relay.url, relay.network, checked_at, alive, alive_at, dead_since, certificate_expires_at, reason
FROM relay LEFT JOIN relay_health ON relay_health.relay_url = relay.url
WHERE %(urls)s::text[] IS NULL OR relay.url = ANY(%(urls)s)
ORDER BY relay.url;

-- name: alive_by_network
-- By network: the registered relays that were checked, how many of them were alive, and dead for `days` or longer.
SELECT relay.network, count(*), count(*) FILTER (WHERE alive),
       count(*) FILTER (WHERE dead_since <= extract(epoch FROM now())::bigint - 86400 * %(days)s)
FROM relay JOIN relay_health ON relay_health.relay_url = relay.url
GROUP BY relay.network ORDER BY relay.network;

-- name: health_of_all
-- Registered relays that were checked; those dead for so many days; those with a certificate, and of these the ones
-- whose certificate ends within so many days.
SELECT count(*), count(*) FILTER (WHERE dead_since <= extract(epoch FROM now())::bigint - 86400 * %(dead_days)s),
       count(certificate_expires_at),
       count(*) FILTER (WHERE certificate_expires_at <= extract(epoch FROM now())::bigint + 86400 * %(certificate_days)s)
FROM relay JOIN relay_health ON relay_health.relay_url = relay.url;

-- name: checked_since
-- Those of the relays that were checked after the given time.
SELECT given.url
FROM unnest(%(urls)s::text[], %(since)s::timestamptz[]) AS given (url, since)
JOIN relay_health ON relay_health.relay_url = given.url
WHERE to_timestamp(relay_health.checked_at) >= date_trunc('second', given.since);

-- name: hold_relays
-- Those of the relays that are registered, and stay so until the transaction ends.
SELECT url FROM relay WHERE url = ANY(%(urls)s) ORDER BY url FOR KEY SHARE;

-- name: insert_metadata
-- Documents, each once. In order, so that two writers do not wait for each other.
INSERT INTO metadata (id, type, data)
SELECT DISTINCT ON (id, type) id, type, data
FROM unnest(%(ids)s::bytea[], %(types)s::text[], %(documents)s::text[]::jsonb[]) AS given (id, type, data)
ORDER BY id, type
ON CONFLICT DO NOTHING;

-- name: insert_relay_metadata
-- Which document each check of a relay brought.
INSERT INTO relay_metadata (relay_url, generated_at, metadata_type, metadata_id)
SELECT url, generated_at, type, id
FROM unnest(%(urls)s::text[], %(generated_ats)s::bigint[], %(types)s::text[], %(ids)s::bytea[])
     AS given (url, generated_at, type, id)
ORDER BY url, generated_at, type
ON CONFLICT DO NOTHING;

-- name: upsert_health_checkpoints
-- When these relays were checked, as BigBrotr's Monitor notes it.
INSERT INTO service_state (service_name, state_type, state_key, state_value)
SELECT 'monitor', 'checkpoint', url, jsonb_build_object('timestamp', checked_at)
FROM unnest(%(urls)s::text[], %(checked_ats)s::bigint[]) AS given (url, checked_at)
ORDER BY url
ON CONFLICT (service_name, state_type, state_key) DO UPDATE SET state_value = excluded.state_value;

-- name: upsert_relay_health
-- What the last check of these relays says; returns since when each is dead.
INSERT INTO relay_health AS known
    (relay_url, checked_at, alive, alive_at, dead_since, certificate_expires_at, reason)
SELECT url, checked_at, alive, CASE WHEN alive THEN checked_at END, CASE WHEN NOT alive THEN checked_at END,
       certificate_expires_at, reason
FROM unnest(%(urls)s::text[], %(checked_ats)s::bigint[], %(alive)s::boolean[], %(expires_ats)s::bigint[],
            %(reasons)s::text[]) AS given (url, checked_at, alive, certificate_expires_at, reason)
ORDER BY url
ON CONFLICT (relay_url) DO UPDATE SET
    checked_at = excluded.checked_at,
    alive = excluded.alive,
    alive_at = coalesce(excluded.alive_at, known.alive_at),
    dead_since = CASE WHEN NOT excluded.alive THEN coalesce(known.dead_since, excluded.dead_since) END,
    certificate_expires_at = coalesce(excluded.certificate_expires_at, known.certificate_expires_at),
    reason = excluded.reason
RETURNING relay_url, dead_since;
