-- What is held of each relay: coverage, gaps, cursor, learned limits, attempts.

-- name: load_coverage
-- By filter: what is proved of a relay, what was read at which age, and, where that is not known, when all was read.
SELECT filter_hash, covered, read_at_ages, extract(epoch FROM coalesce(
           (SELECT succeeded_at FROM relay_limits WHERE relay_limits.relay_url = sync_coverage.relay_url),
           (SELECT min(started_at) FROM sync_attempt WHERE sync_attempt.relay_url = sync_coverage.relay_url)
       ))::float8, reconciled_from
FROM sync_coverage WHERE relay_url = %(relay_url)s;

-- name: note_gap_tries
-- These gaps are tried now.
UPDATE sync_gap SET last_try = now(), tries = tries + 1
FROM unnest(%(filter_hashes)s::text[], %(sinces)s::bigint[], %(untils)s::bigint[]) AS tried (filter_hash, since, until)
WHERE relay_url = %(relay_url)s
  AND (sync_gap.filter_hash, sync_gap.since, sync_gap.until) = (tried.filter_hash, tried.since, tried.until);

-- name: mark_gaps
-- Let the next sync try all gaps of a relay again.
UPDATE sync_gap SET last_try = '-infinity' WHERE relay_url = %(relay_url)s;

-- name: list_gaps
-- The ledger of every relay, or of one.
SELECT relay_url, since, until, reason, held, missing, tries, first_seen FROM sync_gap
WHERE %(relay_url)s::text IS NULL OR relay_url = %(relay_url)s
ORDER BY relay_url, since;

-- name: load_gaps
-- A relay's gaps, with the tries and the seconds since the last one: none where `gaps retry` has marked it.
SELECT filter_hash, since, until, reason, held, missing, tries,
       CASE WHEN isfinite(last_try) THEN extract(epoch FROM now() - last_try)::float8 END
FROM sync_gap WHERE relay_url = %(relay_url)s ORDER BY since;

-- name: load_habits
-- What was learned of a relay, by the names of the core (`windowing.habits`), and how its last syncs went: the events
-- that they brought in a day or less, without the oldest of them, which may have been the first.
SELECT largest_answer AS largest, cut_at, cuts, since_exclusive, until_exclusive, answer_order AS "order", cut_pages, hides,
       rung, request_limit AS "limit", pause, eose_grace AS grace, restricted_kinds AS restricted,
       extract(epoch FROM now() - learned_at)::float8 AS age, failures, succeeded_at IS NOT NULL AS succeeded,
       coalesce((SELECT events_received > 0 FROM sync_attempt
                 WHERE sync_attempt.relay_url = relay_limits.relay_url AND finished_at IS NOT NULL
                 ORDER BY id DESC LIMIT 1), false) AS received,
       negentropy, coalesce(extract(epoch FROM now() - negentropy_at), 'infinity')::float8 AS negentropy_age,
       coalesce((SELECT value FROM sync_total
                 WHERE sync_total.relay_url = relay_limits.relay_url AND name = 'observations_new'), 0) AS observations,
       lately.events AS lately, lately.new AS new_lately, lately.received AS received_lately,
       lately.seconds AS in_seconds
FROM relay_limits
CROSS JOIN LATERAL (
    SELECT coalesce(sum(observations_new) FILTER (WHERE place > 1), 0)::float8 AS events,
           coalesce(sum(observations_new), 0)::float8 AS new, coalesce(sum(events_received), 0)::float8 AS received,
           coalesce(extract(epoch FROM now() - min(started_at)), 0)::float8 AS seconds
    FROM (SELECT started_at, observations_new, events_received, row_number() OVER (ORDER BY id) AS place
          FROM (SELECT id, started_at, observations_new, events_received FROM sync_attempt
                WHERE sync_attempt.relay_url = relay_limits.relay_url ORDER BY id DESC LIMIT 300) AS last
          WHERE started_at > now() - interval '1 day') AS attempts
) AS lately
WHERE relay_url = %(relay_url)s;

-- name: forget_cursor
-- A cursor that claims what is not proved goes: another program left it, or more is asked for than when it was proved.
DELETE FROM service_state
WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = %(relay_url)s;

-- name: begin_attempt
-- A sync begins: noted on the relay, so that nobody takes it for waiting, and in the ledger of attempts.
WITH tried AS (
    INSERT INTO relay_limits (relay_url, attempted_at) VALUES (%(relay_url)s, now())
    ON CONFLICT (relay_url) DO UPDATE SET attempted_at = now()
)
INSERT INTO sync_attempt (relay_url, run_id) VALUES (%(relay_url)s, %(run_id)s) RETURNING id;

-- name: running_attempt
-- The attempt on a relay that is under way: the run, and since when.
SELECT run_id, started_at FROM (
    SELECT run_id, started_at, finished_at FROM sync_attempt
    WHERE relay_url = %(relay_url)s ORDER BY id DESC LIMIT 1
) AS last WHERE finished_at IS NULL;

-- name: finish_attempt
-- How the sync ended, and what it brought.
UPDATE sync_attempt
SET finished_at = now(), ok = %(ok)s, error = %(error)s, events_received = %(events_received)s,
    events_new = %(events_new)s, events_known = %(events_known)s, events_rejected = %(events_rejected)s,
    observations_new = %(observations_new)s, late_events = %(late_events)s, late_by = %(late_by)s, events_claimed = %(events_claimed)s,
    events_gone = %(events_gone)s, requests = %(requests)s, bytes_received = %(bytes_received)s
WHERE id = %(id)s;

-- name: save_ages
-- What was read at which age.
UPDATE sync_coverage SET read_at_ages = %(read_at_ages)s::text[]::int8multirange[]
WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s;

-- name: save_compared
-- The first second down to which the old ones are compared (NIP-77).
UPDATE sync_coverage SET reconciled_from = %(since)s
WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s;

-- name: save_limits
-- What was learned of a relay, and how often it has failed; `retry_after`: seconds until it is tried again, if it has.
UPDATE relay_limits
SET largest_answer = %(largest)s, cut_at = %(cut_at)s, cuts = %(cuts)s, since_exclusive = %(since_exclusive)s,
    until_exclusive = %(until_exclusive)s, answer_order = %(order)s, cut_pages = %(cut_pages)s, hides = %(hides)s,
    rung = %(rung)s, request_limit = %(limit)s, pause = %(pause)s, eose_grace = %(grace)s,
    restricted_kinds = %(restricted)s, negentropy = %(negentropy)s,
    negentropy_at = CASE WHEN %(negentropy_is_new)s THEN now() ELSE negentropy_at END, insecure = %(insecure)s,
    learned_at = CASE WHEN %(forgotten)s THEN now() ELSE learned_at END,
    succeeded_at = CASE WHEN %(ok)s THEN now() ELSE succeeded_at END,
    failures = %(failures)s, retry_at = now() + make_interval(secs => %(retry_after)s)
WHERE relay_url = %(relay_url)s;

-- name: prune_attempts
-- The last attempt of each relay is kept for good, the others for `days` days.
DELETE FROM sync_attempt AS old
WHERE old.started_at < now() - make_interval(days => %(days)s)
  AND EXISTS (SELECT 1 FROM sync_attempt AS later WHERE later.relay_url = old.relay_url AND later.id > old.id);

-- name: cursors
-- Every relay with its cursor, what it holds, and how its last attempt went.
SELECT relay.url, relay.network,
       (cursor.state_value ->> 'timestamp')::bigint, cursor.state_value ->> 'id',
       (SELECT count(*) FROM sync_gap WHERE sync_gap.relay_url = relay.url),
       last.finished_at, last.ok, last.error,
       coalesce(restricted_kinds IN ('withheld', 'refused') OR (hides AND restricted_kinds <> 'given'), false),
       coalesce(negentropy = 'spoken', false),
       (SELECT sum(events_received)::float8 / nullif(sum(observations_new), 0) FROM sync_attempt
        WHERE sync_attempt.relay_url = relay.url AND started_at > now() - interval '1 day')
FROM relay
LEFT JOIN relay_limits ON relay_limits.relay_url = relay.url
LEFT JOIN service_state AS cursor
    ON cursor.service_name = 'synchronizer' AND cursor.state_type = 'cursor' AND cursor.state_key = relay.url
LEFT JOIN LATERAL (
    SELECT finished_at, ok, error FROM sync_attempt WHERE relay_url = relay.url ORDER BY id DESC LIMIT 1
) AS last ON true
WHERE %(url)s::text IS NULL OR relay.url = %(url)s
ORDER BY relay.url;

-- name: delete_stale_cursors
-- State of relays that are no longer registered. Their events stay.
WITH gone AS (
    DELETE FROM service_state
    WHERE service_name = 'synchronizer' AND state_type = 'cursor'
      AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = state_key)
    RETURNING state_key
), checkpoint AS (
    DELETE FROM service_state  -- BigBrotr's Monitor has others, of what it publishes
    WHERE service_name = 'monitor' AND state_type = 'checkpoint' AND state_key ~ '^wss?://'
      AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = state_key)
), coverage AS (
    DELETE FROM sync_coverage WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_url)
), gap AS (
    DELETE FROM sync_gap WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_url)
), limits AS (
    DELETE FROM relay_limits WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_url)
), withheld AS (
    DELETE FROM withheld_event WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_url)
), attempt AS (
    DELETE FROM sync_attempt WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_url)
)
SELECT count(*) FROM gone;

-- name: cursors_beyond_coverage
-- Cursors below which a second is neither covered nor a named gap, from `since` on, under one of these filters: there
-- must be none.
SELECT DISTINCT url
FROM (
    SELECT state_key AS url, (state_value ->> 'timestamp')::bigint AS cursor
    FROM service_state
    WHERE service_name = 'synchronizer' AND state_type = 'cursor'
      AND (%(urls)s::text[] IS NULL OR state_key = ANY(%(urls)s))
) AS claim
JOIN unnest(%(hashes)s::text[], %(since)s::bigint[]) AS wanted (filter_hash, since) ON wanted.since <= cursor
LEFT JOIN sync_coverage AS coverage
    ON coverage.relay_url = url AND coverage.filter_hash = wanted.filter_hash
CROSS JOIN LATERAL (
    SELECT range_agg(int8range(sync_gap.since, until, '[]')) FROM sync_gap
    WHERE sync_gap.relay_url = url AND sync_gap.filter_hash = wanted.filter_hash
) AS ledger (gaps)
WHERE NOT coalesce(covered, '{}') + coalesce(gaps, '{}') @> int8range(wanted.since, cursor, '[]')
ORDER BY url;

-- name: what_a_reset_rereads
-- Of a relay, from a second on: the seconds that are covered, and the events that are stored.
SELECT coalesce((SELECT sum(upper(part) - lower(part))
                 FROM sync_coverage, unnest(covered * int8multirange(int8range(%(to)s, NULL))) AS part
                 WHERE relay_url = %(relay_url)s), 0),
       (SELECT count(*) FROM observation JOIN event ON event.seq = event_seq
        WHERE relay_id = (SELECT id FROM relay_key WHERE url = %(relay_url)s) AND created_at >= %(to)s);

-- name: reset_coverage
-- Nothing of these seconds (no `until`: to the end) is proved any more, under these filters or under all.
UPDATE sync_coverage
SET covered = covered - int8multirange(int8range(%(since)s::bigint, %(until)s::bigint, '[]'))
WHERE relay_url = ANY(%(relay_urls)s) AND (%(hashes)s::text[] IS NULL OR filter_hash = ANY(%(hashes)s));

-- name: reset_gaps
-- As reset_coverage, of gaps: one that reaches into these seconds goes whole, for what is left of it is pending.
DELETE FROM sync_gap
WHERE relay_url = ANY(%(relay_urls)s) AND (%(hashes)s::text[] IS NULL OR filter_hash = ANY(%(hashes)s))
  AND until >= %(since)s AND (%(until)s::bigint IS NULL OR since <= %(until)s);

-- name: reset_cursor
-- To just below the second from which on everything is to be read again; none is left where that is all.
WITH kept AS (
    UPDATE service_state
    SET state_value = jsonb_build_object('timestamp', %(since)s::bigint - 1, 'id', repeat('f', 64))
    WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = ANY(%(relay_urls)s)
      AND (state_value ->> 'timestamp')::bigint >= %(since)s AND %(since)s > 0
)
DELETE FROM service_state
WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = ANY(%(relay_urls)s) AND %(since)s = 0;

-- name: begin_cycle
-- A run begins to sync so many relays. What ended a week ago is counted, and no more needed.
WITH old AS (
    DELETE FROM sync_cycle WHERE started_at < now() - interval '7 days'
)
INSERT INTO sync_cycle (run_id, relays) VALUES (%(run_id)s, %(relays)s)
ON CONFLICT (run_id) DO UPDATE SET relays = excluded.relays, started_at = now(), finished_at = NULL, ok = NULL;

-- name: finish_cycle
-- It has ended: noted, and counted once, though this may be done again.
WITH ended AS (
    UPDATE sync_cycle SET finished_at = now(), ok = %(ok)s WHERE run_id = %(run_id)s AND finished_at IS NULL
    RETURNING ok, extract(epoch FROM finished_at - started_at)::float8 AS took
)
UPDATE sync_cycle_total
SET ok = sync_cycle_total.ok + ended.ok::integer,
    stopped = stopped + (NOT ended.ok)::integer,
    seconds = seconds + took,
    buckets = ARRAY(SELECT cycles + (took <= bound)::integer
                    FROM unnest(bounds, buckets) WITH ORDINALITY AS bucket (bound, cycles, place) ORDER BY place)
FROM ended;
