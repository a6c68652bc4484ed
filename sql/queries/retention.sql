-- What is left out by choice: what coverage says of it, and the events themselves.

-- name: lock_rules
-- One process at a time changes the rules, to the end of its transaction.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: rules_in_force
-- The rules, and since when they are.
SELECT rules, since FROM leave_out ORDER BY id DESC LIMIT 1;

-- name: put_rules_in_force
-- From now on these rules are in force, and no others.
INSERT INTO leave_out (rules) VALUES (%(rules)s);

-- name: filters_of_coverage
-- What coverage is of, of any relay.
SELECT DISTINCT filter_hash, filter FROM sync_coverage;

-- name: carry_gaps
-- Gaps under one filter are from now on gaps under another, of relays of which nothing is known under that.
UPDATE sync_gap SET filter_hash = %(new)s
WHERE filter_hash = %(old)s
  AND NOT EXISTS (SELECT FROM sync_coverage AS other WHERE other.relay_url = sync_gap.relay_url AND other.filter_hash = %(new)s)
  AND NOT EXISTS (SELECT FROM sync_gap AS other WHERE other.relay_url = sync_gap.relay_url AND other.filter_hash = %(new)s);

-- name: carry_coverage
-- As carry_gaps, of what is covered.
UPDATE sync_coverage SET filter_hash = %(new)s, filter = %(filter)s
WHERE filter_hash = %(old)s
  AND NOT EXISTS (SELECT FROM sync_coverage AS other
                  WHERE other.relay_url = sync_coverage.relay_url AND other.filter_hash = %(new)s);

-- name: drop_claims
-- Nothing is claimed under this filter any more.
WITH gap AS (
    DELETE FROM sync_gap WHERE filter_hash = %(old)s
), withheld AS (
    DELETE FROM withheld_event WHERE filter_hash = %(old)s
)
DELETE FROM sync_coverage WHERE filter_hash = %(old)s;

-- name: cycles_from_before
-- Runs that began before a moment, and have not said that they ended.
SELECT run_id FROM sync_cycle WHERE started_at < %(moment)s AND finished_at IS NULL;

-- name: left_out_events
-- The stored events that a rule leaves out. Bytes of text are those of the content and of all values of the tags.
SELECT id FROM event
WHERE (%(kinds)s::int[] IS NULL OR kind = ANY(%(kinds)s))
  AND (%(authors)s::bytea[] IS NULL OR pubkey = ANY(%(authors)s))
  AND (%(before)s::bigint IS NULL OR created_at < %(before)s)
  AND (%(larger_than)s::bigint IS NULL OR octet_length(content) + coalesce((
          SELECT sum(octet_length(value))
          FROM jsonb_array_elements(tags) AS tag (texts), jsonb_array_elements_text(texts) AS text (value)
      ), 0) > %(larger_than)s);

-- name: size_of_events
-- Of these events: how many are stored, their observations, and the bytes of their rows.
SELECT count(*), coalesce(sum((SELECT count(*) FROM observation WHERE event_seq = event.seq)), 0)::bigint,
       coalesce(sum(pg_column_size(event.*)), 0)::bigint
FROM event WHERE id = ANY(%(ids)s);

-- name: delete_events
-- A trigger takes along what is known of them.
DELETE FROM event WHERE id = ANY(%(ids)s);
