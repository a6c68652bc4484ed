-- What the archive holds of a relay, as NIP-77 compares it, and what that has shown.

-- name: held_of_relay
-- The newest events of these seconds that the relay was seen with, by place; without those that it holds no more. An
-- event is not seen before it is made, or a day before at most: one that was, the relay claims once more, at no harm.
SELECT event.created_at, event.id
FROM observation JOIN event ON event.seq = observation.event_seq
WHERE observation.relay_id = %(relay_id)s AND event.created_at BETWEEN %(since)s AND %(until)s
  AND observation.seen_at >= %(since)s - 86400
  AND (%(kinds)s::integer[] IS NULL OR event.kind = ANY(%(kinds)s))
  AND (%(authors)s::bytea[] IS NULL OR event.pubkey = ANY(%(authors)s))
  AND NOT EXISTS (SELECT FROM gone_event
                  WHERE gone_event.relay_id = observation.relay_id
                    AND gone_event.event_seq = observation.event_seq)
ORDER BY event.created_at DESC, event.id DESC LIMIT %(most)s;

-- name: is_anything_held
-- Whether the archive holds any event at all.
SELECT EXISTS (SELECT FROM event);

-- name: load_withheld
-- What a relay says it holds under a filter, and did not send: between which seconds it lies, whether something else
-- came in its place, how often it was asked for, and how many seconds ago it last was.
SELECT event_id, since, until, is_refused, tries, extract(epoch FROM now() - last_try)::float8
FROM withheld_event WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s;

-- name: record_withheld
-- These did not come, once more.
INSERT INTO withheld_event AS kept (relay_url, filter_hash, event_id, since, until, is_refused)
SELECT %(relay_url)s, %(filter_hash)s, id, first, last, refused
FROM unnest(%(ids)s::bytea[], %(sinces)s::bigint[], %(untils)s::bigint[], %(refused)s::boolean[])
    AS given (id, first, last, refused)
ORDER BY id
ON CONFLICT (relay_url, filter_hash, event_id)
DO UPDATE SET since = excluded.since, until = excluded.until, is_refused = excluded.is_refused, last_try = now(), tries = kept.tries + 1;

-- name: forget_withheld
-- These have come, or the relay claims them no more.
DELETE FROM withheld_event
WHERE relay_url = %(relay_url)s AND filter_hash = %(filter_hash)s AND event_id = ANY(%(ids)s);

-- name: record_gone
-- The relay holds these no more.
INSERT INTO gone_event (relay_id, event_seq)
SELECT relay_key.id, event.seq FROM relay_key, event
WHERE relay_key.url = %(relay_url)s AND event.id = ANY(%(ids)s) ORDER BY event.seq
ON CONFLICT DO NOTHING;

-- name: forget_gone
-- The relay holds these again.
DELETE FROM gone_event USING relay_key, event
WHERE relay_key.url = %(relay_url)s AND event.id = ANY(%(ids)s)
  AND (gone_event.relay_id, gone_event.event_seq) = (relay_key.id, event.seq);
