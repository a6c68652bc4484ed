-- What BigBrotr 6.6.9's Synchronizer needs of its database, written anew from its description: the wheel brings no SQL.
-- Same tables, partitions, foreign keys, indexes and function signatures; its other tables and views are left out,
-- for a sync does not touch them.

CREATE FUNCTION tags_to_tagvalues(tags jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT coalesce(array_agg((tag ->> 0) || ':' || (tag ->> 1)), '{}')
    FROM jsonb_array_elements(tags) AS tag
    WHERE length(tag ->> 0) = 1
$$;

CREATE TABLE relay (
    url           text PRIMARY KEY,
    network       text NOT NULL,
    discovered_at bigint NOT NULL
);

CREATE TABLE event (
    id         bytea PRIMARY KEY,
    pubkey     bytea NOT NULL,
    created_at bigint NOT NULL,
    kind       integer NOT NULL,
    tags       jsonb COMPRESSION lz4 NOT NULL,
    tagvalues  text[] NOT NULL,
    content    text COMPRESSION lz4 NOT NULL,
    sig        bytea NOT NULL
) PARTITION BY HASH (id);

CREATE TABLE event_relay (
    event_id  bytea NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    relay_url text NOT NULL REFERENCES relay (url) ON DELETE CASCADE,
    seen_at   bigint NOT NULL,
    PRIMARY KEY (event_id, relay_url)
) PARTITION BY HASH (event_id);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE event_p%s PARTITION OF event FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                       part, part);
        EXECUTE format('CREATE TABLE event_relay_p%s PARTITION OF event_relay FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                       part, part);
    END LOOP;
END
$$;

CREATE INDEX ON event (created_at DESC, id DESC);
CREATE INDEX ON event (kind, created_at DESC);
CREATE INDEX ON event (pubkey, created_at DESC);
CREATE INDEX ON event (pubkey, kind, created_at DESC);
CREATE INDEX ON event USING gin (tagvalues);
CREATE INDEX ON event_relay (seen_at DESC);
CREATE INDEX ON event_relay (relay_url, seen_at, event_id);

CREATE TABLE service_state (
    service_name text NOT NULL,
    state_type   text NOT NULL,
    state_key    text NOT NULL,
    state_value  jsonb NOT NULL,
    PRIMARY KEY (service_name, state_type, state_key)
);

CREATE FUNCTION relay_insert(urls text[], networks text[], discovered_ats bigint[])
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO relay (url, network, discovered_at)
    SELECT * FROM unnest(urls, networks, discovered_ats)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END
$$;

CREATE FUNCTION event_insert(
    ids bytea[], pubkeys bytea[], created_ats bigint[], kinds integer[], tags_values jsonb[], contents text[],
    sigs bytea[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
    SELECT given.id, given.pubkey, given.created_at, given.kind, given.tags, tags_to_tagvalues(given.tags),
           given.content, given.sig
    FROM unnest(ids, pubkeys, created_ats, kinds, tags_values, contents, sigs)
         AS given (id, pubkey, created_at, kind, tags, content, sig)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END
$$;

-- Returns the number of new rows in event_relay.
CREATE FUNCTION event_relay_insert_cascade(
    ids bytea[], pubkeys bytea[], created_ats bigint[], kinds integer[], tags_values jsonb[], contents text[],
    sigs bytea[], urls text[], networks text[], discovered_ats bigint[], seen_ats bigint[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    PERFORM relay_insert(urls, networks, discovered_ats);
    PERFORM event_insert(ids, pubkeys, created_ats, kinds, tags_values, contents, sigs);
    INSERT INTO event_relay (event_id, relay_url, seen_at)
    SELECT DISTINCT ON (given.id, given.url) given.id, given.url, given.seen_at
    FROM unnest(ids, urls, seen_ats) AS given (id, url, seen_at)
    ON CONFLICT (event_id, relay_url) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END
$$;

CREATE FUNCTION service_state_upsert(names text[], types text[], keys text[], state_values jsonb[])
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    upserted integer;
BEGIN
    INSERT INTO service_state (service_name, state_type, state_key, state_value)
    SELECT DISTINCT ON (name, type, key) name, type, key, state_value
    FROM unnest(names, types, keys, state_values) AS given (name, type, key, state_value)
    ON CONFLICT (service_name, state_type, state_key) DO UPDATE SET state_value = excluded.state_value;
    GET DIAGNOSTICS upserted = ROW_COUNT;
    RETURN upserted;
END
$$;
