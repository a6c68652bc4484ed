-- Relays that somebody has named: what is found in the archive, who is tried next, who becomes a relay.

-- name: newest_seq
-- The last event that has arrived.
SELECT coalesce(max(seq), 0) FROM event;

-- name: event_writers
-- Transactions that write events just now: theirs may have lower numbers than what has arrived.
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'event'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid();

-- name: event_writers_among
-- Those of these transactions that are not over.
SELECT DISTINCT virtualtransaction FROM pg_locks WHERE virtualtransaction = ANY(%(writers)s);

-- name: begin_scan
-- The place up to which events were looked at exists from now on.
INSERT INTO service_state (service_name, state_type, state_key, state_value)
VALUES ('discovery', 'cursor', 'event', '{"seq": 0}') ON CONFLICT DO NOTHING;

-- name: scanned_seq
-- Up to where events were looked at; whoever else wants to look waits for the end of this transaction.
SELECT (state_value ->> 'seq')::bigint FROM service_state
WHERE service_name = 'discovery' AND state_type = 'cursor' AND state_key = 'event' FOR UPDATE;

-- name: note_scanned
-- Events up to this one were looked at.
UPDATE service_state SET state_value = jsonb_build_object('seq', %(seq)s::bigint)
WHERE service_name = 'discovery' AND state_type = 'cursor' AND state_key = 'event';

-- name: next_events
-- The end of the next `most` events, in the order of arrival, and how many they are.
SELECT max(seq), count(*) FROM (
    SELECT seq FROM event WHERE seq > %(after)s AND seq <= %(until)s ORDER BY seq LIMIT %(most)s
) AS next;

-- name: events_with_mentions
-- Of a stretch of events those that may name relays, in the order of arrival; of their content only what may.
SELECT seq, id, pubkey, created_at, kind, tags::text,
       CASE WHEN kind IN (2, 3) OR content LIKE '%%"relays"%%' THEN content ELSE '' END
FROM event
WHERE seq > %(after)s AND seq <= %(until)s
  AND (tags::text ~* 'wss?://' OR ((kind IN (2, 3) OR content LIKE '%%"relays"%%') AND content ~* 'wss?://'))
ORDER BY seq;

-- name: note_mentions
-- Remember who was named; the new ones within the bounds of each author and host. Registered relays are known already.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(given)s) AS given (
        number bigint, url text, network text, host text, source text, event text, author text, mentions bigint,
        named_by bigint[], vouched_at bigint
    ) WHERE NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = given.url)
), known AS (
    UPDATE relay_candidate AS candidate
    SET mentions = candidate.mentions + given.mentions,
        named_by = CASE
            WHEN candidate.named_by @> given.named_by OR cardinality(candidate.named_by) >= %(most_named_by)s
            THEN candidate.named_by
            ELSE ARRAY(SELECT DISTINCT unnest(candidate.named_by || given.named_by) LIMIT %(most_named_by)s)
        END,
        vouched_at = greatest(candidate.vouched_at, given.vouched_at)
    FROM given WHERE candidate.url = given.url
), fresh AS (
    SELECT given.*, decode(author, 'hex') AS author_key,
           row_number() OVER (PARTITION BY author ORDER BY number) AS of_author,
           row_number() OVER (PARTITION BY host ORDER BY number) AS of_host
    FROM given WHERE NOT EXISTS (SELECT 1 FROM relay_candidate WHERE relay_candidate.url = given.url)
), authors AS (
    SELECT first_author, count(*) AS waiting FROM relay_candidate
    WHERE first_author IN (SELECT author_key FROM fresh) AND promoted_at IS NULL GROUP BY 1
), hosts AS (
    SELECT host, count(*) AS waiting FROM relay_candidate
    WHERE host IN (SELECT host FROM fresh) AND promoted_at IS NULL GROUP BY 1
)
INSERT INTO relay_candidate (url, network, host, source, first_event, first_author, mentions, named_by, vouched_at)
SELECT url, network, host, source, decode(event, 'hex'), author_key, mentions, named_by, vouched_at
FROM fresh
LEFT JOIN authors ON authors.first_author = fresh.author_key
LEFT JOIN hosts USING (host)
WHERE (fresh.author_key IS NULL OR vouched_at IS NOT NULL
       OR fresh.of_author + coalesce(authors.waiting, 0) <= %(max_per_author)s)
  AND fresh.of_host + coalesce(hosts.waiting, 0) <= %(max_per_host)s
ORDER BY number
ON CONFLICT DO NOTHING
RETURNING url;

-- name: trim_candidates
-- Where more wait than are kept, the least promising go: those that failed most, and that the fewest name.
DELETE FROM relay_candidate WHERE url IN (
    SELECT url FROM relay_candidate WHERE promoted_at IS NULL AND next_try < 'infinity'
    ORDER BY failures, cardinality(named_by) DESC, first_seen OFFSET %(most)s
);

-- name: bigbrotrs_candidates
-- What BigBrotr's services have put down for its Validator, and is not known here.
SELECT state_key FROM service_state
WHERE service_name = 'validator' AND state_type = 'checkpoint'
  AND NOT EXISTS (SELECT 1 FROM relay WHERE url = state_key)
  AND NOT EXISTS (SELECT 1 FROM relay_candidate WHERE url = state_key)
ORDER BY state_key LIMIT %(most)s;

-- name: list_candidates
-- The candidates that are no relays yet, the most promising first.
SELECT url, network, source, mentions, cardinality(named_by), encode(first_event, 'hex'),
       extract(epoch FROM first_seen)::bigint, extract(epoch FROM tried_at)::bigint, failures, reason, error,
       CASE WHEN next_try < 'infinity' THEN extract(epoch FROM next_try)::bigint END
FROM relay_candidate
WHERE promoted_at IS NULL AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_candidate.url)
ORDER BY failures, cardinality(named_by) DESC, mentions DESC, url LIMIT %(most)s;

-- name: count_candidates
-- How many wait to be tried, or tried again.
SELECT count(*) FROM relay_candidate
WHERE promoted_at IS NULL AND next_try < 'infinity'
  AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_candidate.url);

-- name: due_candidates
-- Who is tried next: whom a monitor vouches for, whom many name, and of those that few name one of each author in turn.
SELECT url, host, vouched_at FROM (
    SELECT *, row_number() OVER (PARTITION BY first_author ORDER BY failures, first_seen, url) AS turn
    FROM relay_candidate
    WHERE promoted_at IS NULL AND next_try <= now() AND network = ANY(%(networks)s)
      AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_candidate.url)
) AS waiting
ORDER BY failures > 0, vouched_at IS NULL, cardinality(named_by) DESC, turn, mentions DESC, url;

-- name: candidates_are_due
-- Whether one may be tried, as far as today's bound lets it become a relay; and whether one became a relay just now.
SELECT EXISTS (
    SELECT 1 FROM relay_candidate
    WHERE promoted_at IS NULL AND next_try <= now() AND network = ANY(%(networks)s)
      AND NOT EXISTS (SELECT 1 FROM relay WHERE relay.url = relay_candidate.url)
) AND (SELECT count(*) FROM relay_candidate WHERE promoted_at > now() - interval '1 day') < %(max_new_per_day)s,
EXISTS (SELECT 1 FROM relay_candidate WHERE promoted_at > now() - make_interval(secs => %(interval)s));

-- name: promoted_lately
-- Relays that were registered so in the last day.
SELECT count(*) FROM relay_candidate WHERE promoted_at > now() - interval '1 day';

-- name: promote_candidate
-- The candidate is a relay from now on, for BigBrotr's services as well.
WITH promoted AS (
    UPDATE relay_candidate SET promoted_at = now(), tried_at = now(), failures = 0, reason = NULL, error = NULL
    WHERE url = %(url)s AND next_try < 'infinity' RETURNING url, network
), ended AS (
    DELETE FROM service_state
    WHERE service_name = 'validator' AND state_type = 'checkpoint' AND state_key = %(url)s
)
INSERT INTO relay (url, network, discovered_at)
SELECT url, network, extract(epoch FROM now())::bigint FROM promoted ON CONFLICT DO NOTHING;

-- name: note_failures
-- These could not be validated. They wait an hour, then twice as long each time up to a day, and in the end a week.
-- Where our own proxy failed, nothing is held against them.
UPDATE relay_candidate AS candidate
SET tried_at = given.tried_at, failures = candidate.failures + (given.reason <> 'proxy')::integer, reason = given.reason, error = given.error,
    next_try = given.tried_at + CASE
        WHEN candidate.failures >= %(daily_tries)s THEN interval '7 days'
        ELSE least(interval '1 day', interval '1 hour' * 2 ^ least(candidate.failures, 5))
    END
FROM jsonb_to_recordset(%(given)s) AS given (url text, reason text, error text, tried_at timestamptz)
WHERE candidate.url = given.url AND candidate.next_try < 'infinity';

-- name: unwanted_candidates
-- The operator took these off the registry: discovery does not bring them back.
INSERT INTO relay_candidate (url, network, host, source, next_try)
SELECT url, network, host, 'operator', 'infinity'
FROM unnest(%(urls)s::text[], %(networks)s::text[], %(hosts)s::text[]) AS given (url, network, host)
WHERE EXISTS (SELECT 1 FROM relay WHERE relay.url = given.url)
ON CONFLICT (url) DO UPDATE SET next_try = 'infinity', promoted_at = NULL;

-- name: known_alive
-- Registered relays that were synced a short time ago: what tells a dead network of ours from dead relays.
SELECT relay.url FROM relay JOIN relay_limits ON relay_url = url
WHERE network = ANY(%(networks)s) AND failures = 0 AND succeeded_at > now() - interval '7 days'
ORDER BY succeeded_at DESC LIMIT %(most)s;

-- name: list_asked_at
-- When a list at an HTTP address last came.
SELECT (state_value ->> 'timestamp')::bigint FROM service_state
WHERE service_name = 'discovery' AND state_type = 'checkpoint' AND state_key = %(url)s;

-- name: note_list
-- It has come now.
INSERT INTO service_state (service_name, state_type, state_key, state_value)
VALUES ('discovery', 'checkpoint', %(url)s, jsonb_build_object('timestamp', %(timestamp)s::bigint))
ON CONFLICT (service_name, state_type, state_key) DO UPDATE SET state_value = excluded.state_value;
