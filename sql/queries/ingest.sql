-- The batch writer's transaction: events, who has them, and what that proves, together or not at all.

-- name: make_staging
-- Landing places for COPY, one set per connection.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_event (LIKE event) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_observation (LIKE event_relay) ON COMMIT DELETE ROWS;

-- name: known_ids
-- Which of these ids are stored. Their signatures were checked when they were.
SELECT id FROM event WHERE id = ANY(%(ids)s);

-- name: copy_events
COPY staged_event (id, pubkey, created_at, kind, tags, tagvalues, content, sig) FROM STDIN (FORMAT binary);

-- name: copy_observations
COPY staged_observation (event_id, relay_url, seen_at) FROM STDIN (FORMAT binary);

-- name: insert_events
-- In order of id, so that two writers cannot deadlock. Returns what was new.
INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
SELECT id, pubkey, created_at, kind, tags, tagvalues, content, sig FROM staged_event ORDER BY id
ON CONFLICT DO NOTHING
RETURNING id;

-- name: late_observations
-- Of these pairs, those that are not stored yet, counted per relay.
SELECT relay_url, count(*)
FROM unnest(%(ids)s::bytea[], %(urls)s::text[]) AS late (event_id, relay_url)
WHERE NOT EXISTS (SELECT FROM event_relay AS kept
                  WHERE kept.event_id = late.event_id AND kept.relay_url = late.relay_url)
GROUP BY relay_url;

-- name: insert_observations
-- First seen wins. Returns the number of new rows per relay.
WITH inserted AS (
    INSERT INTO event_relay (event_id, relay_url, seen_at)
    SELECT event_id, relay_url, seen_at FROM staged_observation ORDER BY event_id, relay_url
    ON CONFLICT DO NOTHING
    RETURNING relay_url
)
SELECT relay_url, count(*) FROM inserted GROUP BY relay_url;

-- name: extend_coverage
INSERT INTO sync_coverage AS kept (relay_url, filter_hash, filter, covered)
VALUES (%(relay_url)s, %(filter_hash)s, %(filter)s, %(covered)s)
ON CONFLICT (relay_url, filter_hash) DO UPDATE SET covered = kept.covered + excluded.covered;

-- name: close_gaps
-- What is proved is no gap any more; what sticks out on either side of it still is.
WITH touched AS (
    DELETE FROM sync_gap
    WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s
      AND int8range(since, until, '[]') && %(covered)s::int8multirange
    RETURNING *
)
INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason, held, missing, first_seen, last_try, tries)
SELECT relay_url, filter_hash, lower(part), upper(part) - 1, reason, held, missing, first_seen, last_try, tries
FROM touched, unnest(int8multirange(int8range(since, until, '[]')) - %(covered)s::int8multirange) AS part
ON CONFLICT DO NOTHING;

-- name: record_gap
-- A gap that is found again, or has grown, takes the place of those within it and keeps their first sight.
WITH replaced AS (
    DELETE FROM sync_gap
    WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s
      AND since >= %(since)s AND until <= %(until)s
    RETURNING held, missing, first_seen, tries
)
INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason, held, missing, first_seen, tries)
SELECT %(relay_url)s, %(filter_hash)s, %(since)s, %(until)s, %(reason)s,
       greatest(%(held)s, max(held)), coalesce(%(missing)s, max(missing)), coalesce(min(first_seen), now()), coalesce(max(tries), 1)
FROM replaced;

-- name: advance_cursor
-- Forward only; `cursors reset` is the way back.
INSERT INTO service_state AS kept (service_name, state_type, state_key, state_value)
VALUES ('synchronizer', 'cursor', %(relay_url)s, jsonb_build_object('timestamp', %(timestamp)s::bigint, 'id', %(id)s::text))
ON CONFLICT (service_name, state_type, state_key) DO UPDATE SET state_value = excluded.state_value
WHERE (kept.state_value ->> 'timestamp')::bigint < (excluded.state_value ->> 'timestamp')::bigint;

-- name: quarantine
-- Bounded per relay: a relay that sends rubbish must not fill the disk.
INSERT INTO event_quarantine (relay_url, digest, reason, event_id, raw)
SELECT %(relay_url)s, %(digest)s, %(reason)s, %(event_id)s, %(raw)s
WHERE (SELECT count(*) FROM event_quarantine WHERE relay_url = %(relay_url)s) < %(most)s
ON CONFLICT DO NOTHING;
