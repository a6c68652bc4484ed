-- What the report shows beside the coverage: of the events drawn into `sampled_event` (stats.sql), at a bounded cost.

-- name: follow_sampled_events
-- Who was seen with a few of the sampled events, and when first (ids are hashes: their order is as good as a draw).
CREATE TEMPORARY TABLE followed_observation ON COMMIT DROP AS
SELECT few.seq AS event_seq, observation.relay_id, observation.seen_at
FROM (SELECT seq FROM sampled_event ORDER BY id LIMIT %(most)s) AS few
JOIN observation ON observation.event_seq = few.seq;

-- name: plan_for_followed
-- A new table has no statistics, and joins with itself would be planned for a handful of rows.
ANALYZE followed_observation;

-- name: sampled_by_column
-- The sampled events by column of time, from 1 on; what is dated ahead of now is left out.
SELECT width_bucket(created_at, %(edges)s::bigint[]), count(*) FROM sampled_event
WHERE created_at >= (%(edges)s::bigint[])[1] AND created_at <= %(now)s GROUP BY 1;

-- name: followed_since
-- When the first of the followed observations was made (Unix time); null where there are none.
SELECT min(seen_at) FROM followed_observation;

-- name: followed_by_column
-- The followed events by the column of time in which the first relay was seen with them, from 1 on.
SELECT width_bucket(first, %(edges)s::bigint[]), count(*)
FROM (SELECT min(seen_at) AS first FROM followed_observation GROUP BY event_seq) AS event
WHERE first >= (%(edges)s::bigint[])[1] AND first <= %(now)s GROUP BY 1;

-- name: followed_by_network
-- By network: how many of the followed events its relays hold, and how often. Rows outlive a relay's registration.
SELECT coalesce(relay.network, 'unregistered'), count(DISTINCT event_seq), count(*)
FROM followed_observation
JOIN relay_key ON relay_key.id = relay_id
LEFT JOIN relay ON relay.url = relay_key.url
GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: followed_by_copies
-- The followed events by the number of relays that hold them; %(most)s and more are one.
SELECT least(copies, %(most)s), count(*)
FROM (SELECT count(*) AS copies FROM followed_observation GROUP BY event_seq) AS event GROUP BY 1 ORDER BY 1;

-- name: followed_overlap
-- For each two of the relays with most of the followed events, and each with itself: how many both hold. Their `place` is
-- by that number, from 1 on.
WITH largest AS (
    SELECT relay_id, row_number() OVER (ORDER BY count(*) DESC, relay_id) AS place
    FROM followed_observation GROUP BY relay_id ORDER BY place LIMIT %(most)s
), held AS MATERIALIZED (
    SELECT event_seq, place FROM followed_observation JOIN largest USING (relay_id)
), shared AS (
    SELECT held.place, other.place AS other, count(*) AS events
    FROM held JOIN held AS other USING (event_seq) GROUP BY 1, 2
)
SELECT shared.place, shared.other, relay_key.url, shared.events
FROM shared JOIN largest USING (place) JOIN relay_key ON relay_key.id = largest.relay_id
ORDER BY 1, 2;

-- name: relays_by_network
-- Registered relays by network, most first.
SELECT network, count(*) FROM relay GROUP BY network ORDER BY 2 DESC, 1;
