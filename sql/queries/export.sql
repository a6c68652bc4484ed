-- What a data set is made of. A day is its number since 1970-01-01 (UTC): the seconds from 86400 * day on, before the next.

-- name: event_days
-- The days before `%(before)s` that hold events. One look into the index on (created_at, id) for each, however many there are.
WITH RECURSIVE found (day) AS (
    (SELECT created_at / 86400 FROM event WHERE created_at >= 0 ORDER BY created_at LIMIT 1)
    UNION ALL
    SELECT (SELECT created_at / 86400 FROM event WHERE created_at >= (found.day + 1) * 86400 ORDER BY created_at LIMIT 1)
    FROM found WHERE found.day < %(before)s
)
SELECT day FROM found WHERE day < %(before)s ORDER BY day;

-- name: covered_days
-- Of these days: those of which so large a share of the relays proves every second under one filter. As everywhere, a
-- relay counts if its network can be reached, or if it was ever tried.
SELECT day
FROM unnest(%(days)s::bigint[]) AS given (day)
CROSS JOIN relay
LEFT JOIN sync_coverage AS coverage ON coverage.relay_url = relay.url AND coverage.filter_hash = %(filter_hash)s
WHERE relay.network = ANY(%(networks)s)
   OR EXISTS (SELECT FROM relay_limits WHERE relay_limits.relay_url = relay.url)
GROUP BY day
HAVING count(*) FILTER (WHERE coverage.covered @> int8range(day * 86400, (day + 1) * 86400))
       >= %(share)s::float8 * count(*)
ORDER BY day;

-- name: day_coverage
-- For each registered relay: whether it counts, the seconds of the day that are pending, and those in gaps by reason (a
-- second in two gaps of different reasons is in both). It proves the day where there are neither.
WITH known AS (
    SELECT relay.url,
           relay.network = ANY(%(networks)s)
               OR EXISTS (SELECT FROM relay_limits WHERE relay_limits.relay_url = relay.url) AS counts,
           int8multirange(int8range(%(since)s, %(until)s)) - coalesce(coverage.covered, '{}') AS missing
    FROM relay
    LEFT JOIN sync_coverage AS coverage ON coverage.relay_url = relay.url AND coverage.filter_hash = %(filter_hash)s
), gap AS (
    SELECT relay_url, split_part(reason, ':', 1) AS reason, range_agg(int8range(since, until + 1)) AS seconds
    FROM sync_gap WHERE filter_hash = %(filter_hash)s AND since < %(until)s AND until >= %(since)s GROUP BY 1, 2
), part AS (
    SELECT known.url, gap.reason, known.missing * gap.seconds AS seconds
    FROM known JOIN gap ON gap.relay_url = known.url
    WHERE NOT isempty(known.missing * gap.seconds)
)
SELECT known.url, known.counts,
       (SELECT coalesce(sum(upper(one) - lower(one)), 0)::bigint
        FROM unnest(known.missing - coalesce((SELECT range_agg(named) FROM part, unnest(part.seconds) AS named
                                              WHERE part.url = known.url), '{}')) AS one),
       (SELECT coalesce(jsonb_object_agg(part.reason, (SELECT sum(upper(one) - lower(one))::bigint
                                                       FROM unnest(part.seconds) AS one)), '{}')
        FROM part WHERE part.url = known.url)
FROM known ORDER BY known.url;

-- name: day_totals
-- What the archive holds of each day from `since` on and before `until`, to tell whether it is what was written: events and
-- the largest of their numbers (a new event has a new one), observations and the latest of them. All days in one pass.
WITH events AS (
    SELECT created_at / 86400 AS day, count(*) AS events, max(seq) AS largest FROM event
    WHERE created_at >= %(since)s AND created_at < %(until)s GROUP BY 1
), seen AS (
    SELECT created_at / 86400 AS day, count(*) AS observations, max(seen_at) AS latest
    FROM event JOIN observation ON observation.event_seq = event.seq
    WHERE created_at >= %(since)s AND created_at < %(until)s GROUP BY 1
)
SELECT day, events, largest, coalesce(observations, 0), latest FROM events LEFT JOIN seen USING (day);

-- name: touched_days
-- The days of events that a relay was first seen with at `seen_since` (Unix time) or later: whatever is stored has an
-- observation of its own moment. The index on seen_at finds the newest.
SELECT DISTINCT created_at / 86400
FROM observation JOIN event ON event.seq = observation.event_seq
WHERE seen_at >= %(seen_since)s AND created_at >= 0;

-- name: copy_day_events
-- A day's events in the order of the index on (created_at, id), so that nothing has to be sorted.
COPY (
    SELECT id, pubkey, created_at, kind, tags::text, content, sig FROM event
    WHERE created_at >= %(since)s AND created_at < %(until)s ORDER BY created_at, id
) TO STDOUT (FORMAT binary);

-- name: copy_day_observations
-- Who was seen with the day's events, and when first; in the order of the events, then by relay.
COPY (
    SELECT event.id, relay_key.url, observation.seen_at
    FROM event
    JOIN observation ON observation.event_seq = event.seq
    JOIN relay_key ON relay_key.id = observation.relay_id
    WHERE created_at >= %(since)s AND created_at < %(until)s ORDER BY created_at, event.id, relay_key.url
) TO STDOUT (FORMAT binary);
