-- How much of what is asked for is covered, pending or a gap, over all relays.

-- name: make_coverage_piece
-- One row for each stretch of seconds (half-open) of a relay under one filter: 'asked' of it, of that 'covered', and
-- of that a 'gap'; what is left is pending. Filters that are not `always` asked for count where a relay has them.
-- A relay counts if its network can be reached, or if it was ever tried.
CREATE TEMPORARY TABLE coverage_piece ON COMMIT DROP AS
WITH wanted AS (
    SELECT filter_hash, always, int8multirange(int8range(since, until)) AS asked
    FROM unnest(%(hashes)s::text[], %(since)s::bigint[], %(until)s::bigint[], %(always)s::boolean[])
        AS given (filter_hash, since, until, always)
), gap AS (
    SELECT relay_url, filter_hash, range_agg(int8range(since, until + 1)) AS seconds
    FROM sync_gap WHERE filter_hash = ANY(%(hashes)s) GROUP BY relay_url, filter_hash
), known AS (
    SELECT relay.url, wanted.asked, wanted.asked * coalesce(coverage.covered, '{}') AS covered,
           wanted.asked * coalesce(gap.seconds, '{}') - coalesce(coverage.covered, '{}') AS gap
    FROM relay
    CROSS JOIN wanted
    LEFT JOIN sync_coverage AS coverage
        ON coverage.relay_url = relay.url AND coverage.filter_hash = wanted.filter_hash
    LEFT JOIN gap ON gap.relay_url = relay.url AND gap.filter_hash = wanted.filter_hash
    WHERE (wanted.always OR coverage.relay_url IS NOT NULL OR gap.relay_url IS NOT NULL)
      AND (relay.network = ANY(%(networks)s)
           OR EXISTS (SELECT 1 FROM relay_limits WHERE relay_limits.relay_url = relay.url))
)
SELECT url, state, lower(part) AS since, upper(part) AS until
FROM known
CROSS JOIN LATERAL (VALUES ('asked', asked), ('covered', covered), ('gap', gap)) AS named (state, seconds)
CROSS JOIN LATERAL unnest(seconds) AS part;

-- name: oldest_event
-- `created_at` (Unix time) of the oldest event; null where there is none.
SELECT min(created_at) FROM event;

-- name: coverage_is_pending_between
-- Whether a relay of which something is covered has pending seconds from `since` on and before `until`.
SELECT EXISTS (
    SELECT FROM coverage_piece GROUP BY url
    HAVING bool_or(state = 'covered')
       AND sum(CASE state WHEN 'asked' THEN 1 ELSE -1 END
               * greatest(0, least(until, %(until)s) - greatest(since, %(since)s))) > 0
);

-- name: coverage_relays
-- The relays of which most is missing (by the hour); those of which all is missing, dead or refusing, come last.
-- With each the number of all relays, and of those of which all is missing.
SELECT url, asked, covered, gap, gaps, count(*) OVER (), count(*) FILTER (WHERE covered = 0) OVER ()
FROM (
    SELECT url,
           coalesce(sum(seconds) FILTER (WHERE state = 'asked'), 0)::bigint AS asked,
           coalesce(sum(seconds) FILTER (WHERE state = 'covered'), 0)::bigint AS covered,
           coalesce(sum(seconds) FILTER (WHERE state = 'gap'), 0)::bigint AS gap
    FROM coverage_piece
    CROSS JOIN LATERAL (SELECT greatest(0, least(until, %(until)s) - greatest(since, %(since)s))) AS inside (seconds)
    GROUP BY url
) AS relay
CROSS JOIN LATERAL (
    SELECT count(*) FROM sync_gap WHERE relay_url = relay.url AND filter_hash = ANY(%(hashes)s)
) AS ledger (gaps)
ORDER BY covered = 0, (asked - covered) / 3600 DESC, gaps DESC, url
LIMIT %(most)s;

-- name: coverage_cells
-- The seconds between each two edges: of each of the given relays, or (url is null) of all relays together.
SELECT CASE WHEN %(urls)s::text[] IS NULL THEN NULL ELSE url END, number,
       coalesce(sum(seconds) FILTER (WHERE state = 'asked'), 0)::bigint,
       coalesce(sum(seconds) FILTER (WHERE state = 'covered'), 0)::bigint,
       coalesce(sum(seconds) FILTER (WHERE state = 'gap'), 0)::bigint
FROM unnest(%(since)s::bigint[], %(until)s::bigint[]) WITH ORDINALITY AS cell (since, until, number)
JOIN coverage_piece AS piece ON piece.since < cell.until AND piece.until > cell.since
CROSS JOIN LATERAL (
    SELECT least(piece.until, cell.until) - greatest(piece.since, cell.since)
) AS inside (seconds)
WHERE %(urls)s::text[] IS NULL OR url = ANY(%(urls)s)
GROUP BY 1, 2;

-- name: open_gaps
-- The ledger by reason: gaps, relays that have them, seconds from `since` on.
SELECT split_part(reason, ':', 1), count(*), count(DISTINCT relay_url),
       sum(greatest(0, until + 1 - greatest(since, %(since)s)))::bigint
FROM sync_gap JOIN relay ON relay.url = sync_gap.relay_url
WHERE filter_hash = ANY(%(hashes)s)
GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: proved_relays
-- Number of registered relays of which something is proved: covered, or a gap.
SELECT count(*) FROM relay
WHERE EXISTS (SELECT 1 FROM sync_coverage WHERE relay_url = relay.url)
   OR EXISTS (SELECT 1 FROM sync_gap WHERE relay_url = relay.url);
