-- The batch writer's transaction: events, who has them, and what that proves, together or not at all.

-- name: make_staging
-- Landing places for COPY, one set per connection.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_event ON COMMIT DELETE ROWS AS
SELECT id, pubkey, created_at, kind, tags, tagvalues, content, sig FROM event WITH NO DATA;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_observation ON COMMIT DELETE ROWS AS
SELECT event_seq, seen_at, relay_id FROM observation WITH NO DATA;

-- name: known_events
-- Which of these ids are stored, and the numbers that observations know them by. Their signatures were checked
-- when they were stored.
SELECT id, seq FROM event WHERE id = ANY(%(ids)b);

-- name: authors_around
-- Who was active at about that second, the nearest first: of 10,000 events on either side of it, at most 1,000
-- authors. A relay can be asked for these where it does not give all of a second at once.
SELECT pubkey
FROM (
    (SELECT pubkey, created_at - %(second)s AS away FROM event
     WHERE created_at >= %(second)s ORDER BY created_at, id LIMIT 10000)
    UNION ALL
    (SELECT pubkey, %(second)s - created_at FROM event
     WHERE created_at < %(second)s ORDER BY created_at DESC, id DESC LIMIT 10000)
) AS near
GROUP BY pubkey ORDER BY min(away), pubkey LIMIT 1000;

-- name: relay_keys
-- The numbers that observations know these relays by.
SELECT url, id FROM relay_key WHERE url = ANY(%(urls)s);

-- name: add_relay_keys
-- Give new relays their numbers, in order of the URL, so that two writers cannot deadlock.
INSERT INTO relay_key (url) SELECT url FROM unnest(%(urls)s::text[]) AS given (url) ORDER BY url
ON CONFLICT DO NOTHING;

-- name: copy_events
-- Events land beside the archive first: COPY itself cannot leave out what is there already.
COPY staged_event (id, pubkey, created_at, kind, tags, tagvalues, content, sig) FROM STDIN (FORMAT binary);

-- name: copy_observations
-- As copy_events, for who has seen what: where some of it may be there.
COPY staged_observation (event_seq, seen_at, relay_id) FROM STDIN (FORMAT binary);

-- name: copy_into_observation
-- Straight into the table: for rows of which none is there.
COPY observation (event_seq, seen_at, relay_id) FROM STDIN (FORMAT binary);

-- name: insert_events
-- In order of id, so that two writers cannot deadlock. Returns what was new.
INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
SELECT id, pubkey, created_at, kind, tags, tagvalues, content, sig FROM staged_event ORDER BY id
ON CONFLICT DO NOTHING
RETURNING id, seq;

-- name: late_observations
-- Of these pairs, those that are not stored yet: the relay, and the event's created_at.
WITH late AS MATERIALIZED (
    SELECT event_seq, relay_id
    FROM unnest(%(events)b::bigint[], %(relays)b::integer[]) AS given (event_seq, relay_id)
    WHERE NOT EXISTS (SELECT FROM observation AS kept
                      WHERE kept.event_seq = given.event_seq AND kept.relay_id = given.relay_id)
)
SELECT late.relay_id, event.created_at FROM late JOIN event ON event.seq = late.event_seq;

-- name: insert_observations
-- First seen wins. In order of the key, as above. Returns the number of new rows per relay.
WITH inserted AS (
    INSERT INTO observation (event_seq, seen_at, relay_id)
    SELECT event_seq, seen_at, relay_id FROM staged_observation ORDER BY event_seq, relay_id
    ON CONFLICT DO NOTHING
    RETURNING relay_id
)
SELECT relay_id, count(*) FROM inserted GROUP BY relay_id;

-- name: extend_coverage
-- These seconds are proved complete at this relay under this filter, too.
INSERT INTO sync_coverage AS kept (relay_url, filter_hash, filter, covered)
VALUES (%(relay_url)s, %(filter_hash)s, %(filter)s, %(covered)s)
ON CONFLICT (relay_url, filter_hash) DO UPDATE SET covered = kept.covered + excluded.covered;

-- name: shrink_coverage
-- What is a gap now is covered no more: a second read again may hold more than the relay shows. So is what was
-- covered by an EOSE that turned out to be false.
UPDATE sync_coverage SET covered = covered - int8multirange(int8range(%(since)s, %(until)s, '[]'))
WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s
  AND covered && int8range(%(since)s, %(until)s, '[]');

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

-- name: take_back_cursor
-- Coverage from `since` on was a mistake: the cursor goes back to the second before, if that one is settled.
WITH settled AS (
    SELECT EXISTS (SELECT 1 FROM sync_coverage WHERE relay_url = %(relay_url)s AND covered @> %(since)s::bigint - 1)
        OR EXISTS (SELECT 1 FROM sync_gap WHERE relay_url = %(relay_url)s AND %(since)s - 1 BETWEEN since AND until) AS is_there
), kept AS (
    UPDATE service_state
    SET state_value = jsonb_build_object('timestamp', %(since)s::bigint - 1, 'id', repeat('f', 64))
    WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = %(relay_url)s
      AND (state_value ->> 'timestamp')::bigint >= %(since)s AND (SELECT is_there FROM settled)
)
DELETE FROM service_state
WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = %(relay_url)s
  AND (state_value ->> 'timestamp')::bigint >= %(since)s AND NOT (SELECT is_there FROM settled);

-- name: quarantine
-- Bounded per relay: a relay that sends rubbish must not fill the disk.
INSERT INTO event_quarantine (relay_url, digest, reason, event_id, raw)
SELECT %(relay_url)s, %(digest)s, %(reason)s, %(event_id)s, %(raw)s
WHERE (SELECT count(*) FROM event_quarantine WHERE relay_url = %(relay_url)s) < %(most)s
ON CONFLICT DO NOTHING;
