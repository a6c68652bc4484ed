-- What was rejected, and is kept aside with its bytes.

-- name: list_quarantine
-- What is kept of every relay and reason, or of one; the bytes are only counted.
SELECT relay_url, reason, event_id, floor(extract(epoch FROM seen_at))::bigint, octet_length(raw)
FROM event_quarantine
WHERE (%(relay_url)s::text IS NULL OR relay_url = %(relay_url)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY relay_url, seen_at, digest;

-- name: count_quarantine
-- By reason, most first: entries, relays, bytes.
SELECT reason, count(*), count(DISTINCT relay_url), sum(octet_length(raw))::bigint
FROM event_quarantine
WHERE (%(relay_url)s::text IS NULL OR relay_url = %(relay_url)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
GROUP BY reason ORDER BY 2 DESC, 1;

-- name: quarantine_page
-- The next entries in order of the key, up to `rows` of them and `bytes` (and one more).
SELECT relay_url, digest, floor(extract(epoch FROM seen_at))::bigint, raw
FROM (
    SELECT *, sum(octet_length(raw)) OVER (ORDER BY relay_url, digest) - octet_length(raw) AS before
    FROM (
        SELECT relay_url, digest, seen_at, raw FROM event_quarantine
        WHERE (relay_url, digest) > (%(after_relay)s, %(after_digest)s)
          AND (%(relay_url)s::text IS NULL OR relay_url = %(relay_url)s)
          AND (%(reason)s::text IS NULL OR reason = %(reason)s)
        ORDER BY relay_url, digest LIMIT %(rows)s
    ) AS next
) AS page
WHERE before < %(bytes)s
ORDER BY relay_url, digest;

-- name: release_quarantined
-- What was stored after all is kept aside no longer.
DELETE FROM event_quarantine
USING unnest(%(relays)s::text[], %(digests)s::bytea[]) AS stored (relay_url, digest)
WHERE event_quarantine.relay_url = stored.relay_url AND event_quarantine.digest = stored.digest;
