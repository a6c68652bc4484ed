"""Generated rows for the measurement of schemas: events as the network has them, and who was seen with each.

All of it is made in SQL, once, in a schema `source`; every variant is filled from the same rows. Relays are read
in ten waves, each from the newest event down, so observations arrive newest first, wave after wave.
"""

RELAYS = 1_000
NEW_PER_BATCH = 1_000
KNOWN_PER_BATCH = 3_700
FIRST_SEEN = 1_790_000_000

SETUP = f"""
CREATE SCHEMA source;
CREATE FUNCTION source.seen_at(event bigint, relay integer, events bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    -- A page of 500 events of one relay has one time; a relay's share of all observations tells its pages.
    SELECT {FIRST_SEEN} + (relay %% 10) * 100000 + floor(event * pages / events)::bigint * 100000 / pages
    FROM (
        SELECT greatest(1, ceil((cbrt(relay) - cbrt(relay - 1)) / 10 * 4.7 * events / 500))::bigint
    ) AS share (pages)
$$;
CREATE FUNCTION source.hash(seed text) RETURNS bytea LANGUAGE sql IMMUTABLE
AS 'SELECT sha256(convert_to(seed, ''UTF8''))';
CREATE UNLOGGED TABLE source.relay AS
    SELECT id, 'wss://' || substr(md5(id::text), 1, 8 + id %% 13) || '.example.com' AS url
    FROM generate_series(1, {RELAYS}) AS id;
"""

# About 4.7 relays an event: one, and a geometric number of others. Few relays have most: a cubic law.
OBSERVATIONS = f"""
CREATE UNLOGGED TABLE source.observation AS
SELECT event, relay, source.seen_at(event, relay, %(events)s) AS seen_at
FROM (
    SELECT DISTINCT event, 1 + floor({RELAYS} * random() ^ 3)::integer AS relay
    FROM generate_series(1, %(events)s) AS event,
         LATERAL generate_series(1, 1 + floor(-ln(1 - random()) * (4.4 + 0 * event))::integer)
) AS pair;
"""

# seq: the order in which events were first seen. Those of the batches to come are numbered after all others.
EVENTS = f"""
CREATE UNLOGGED TABLE source.event AS
SELECT seq, event, source.hash('id' || event) AS id,
       source.hash('author' || floor(50000 * random() ^ 2)) AS pubkey,
       (1780000000 - event * (150000000.0 / %(events)s) + random() * 3600)::bigint AS created_at,
       (ARRAY[1, 1, 1, 7, 7, 9735, 6, 30023, 1059, 0])[1 + floor(random() * 10)::integer] AS kind,
       jsonb_build_array(jsonb_build_array('e', reference), jsonb_build_array('p', mentioned),
                         jsonb_build_array('t', topic)) AS tags,
       ARRAY['e:' || reference, 'p:' || mentioned, 't:' || topic] AS tagvalues,
       repeat('good morning ', floor(random() * 8)::integer) || encode(source.hash('content' || event), 'base64')
           || repeat(md5(event::text), floor(random() * 7)::integer) AS content,
       source.hash('s' || event) || source.hash('g' || event) AS sig
FROM (
    SELECT row_number() OVER (ORDER BY min(seen_at), event) AS seq, event FROM source.observation GROUP BY event
    UNION ALL
    SELECT event, event FROM generate_series(%(events)s + 1, %(events)s + %(batches)s * {NEW_PER_BATCH}) AS event
) AS seen,
LATERAL (
    SELECT encode(source.hash('id' || greatest(1, event - floor(random() * 5000)::bigint)), 'hex'),
           encode(source.hash('author' || floor(50000 * random() ^ 2)), 'hex'),
           'topic' || floor(20000 * random() ^ 3)
) AS refers (reference, mentioned, topic);
"""

# A batch: new events, and pages of other relays that hold known events.
BATCHES = f"""
CREATE UNLOGGED TABLE source.batch AS
SELECT batch, %(events)s + (batch - 1) * {NEW_PER_BATCH} + number AS event,
       1 + floor({RELAYS} * random() ^ 3)::integer AS relay, {FIRST_SEEN}::bigint + 1000000 + batch AS seen_at
FROM generate_series(1, %(batches)s) AS batch, generate_series(1, {NEW_PER_BATCH}) AS number
UNION ALL
SELECT batch, start + number * 3, relay, {FIRST_SEEN}::bigint + 1000000 + batch
FROM (
    SELECT batch, 1 + floor(random() * (%(events)s - 1500))::bigint AS start,
           1 + floor({RELAYS} * random() ^ 3)::integer AS relay
    FROM generate_series(1, %(batches)s) AS batch, generate_series(1, 10)
) AS page, generate_series(1, {KNOWN_PER_BATCH} / 10) AS number;
CREATE INDEX ON source.observation (seen_at, relay, event);
ALTER TABLE source.event ADD PRIMARY KEY (event);
CREATE INDEX ON source.event (seq);
ANALYZE source.observation; ANALYZE source.event; ANALYZE source.batch;
"""
