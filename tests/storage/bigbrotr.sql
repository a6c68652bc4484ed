-- What BigBrotr 6.6.9 has in a database, as far as it reads or writes `event_relay`: for the test of an adoption.
CREATE TABLE relay (url text PRIMARY KEY, network text NOT NULL, discovered_at bigint NOT NULL);
CREATE TABLE event (
    id bytea PRIMARY KEY, pubkey bytea NOT NULL, created_at bigint NOT NULL, kind integer NOT NULL,
    tags jsonb NOT NULL, tagvalues text[] NOT NULL, content text NOT NULL, sig bytea NOT NULL
) PARTITION BY HASH (id);
CREATE TABLE event_0 PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE event_1 PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE event_relay (
    event_id bytea NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    relay_url text NOT NULL REFERENCES relay (url) ON DELETE CASCADE,
    seen_at bigint NOT NULL,
    PRIMARY KEY (event_id, relay_url)
) PARTITION BY HASH (event_id);
CREATE TABLE event_relay_0 PARTITION OF event_relay FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE event_relay_1 PARTITION OF event_relay FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX idx_event_relay_seen_at ON event_relay (seen_at DESC);
CREATE INDEX idx_event_relay_relay_url_seen_at_event_id ON event_relay (relay_url, seen_at, event_id);
CREATE TABLE service_state (
    service_name text NOT NULL, state_type text NOT NULL, state_key text NOT NULL, state_value jsonb NOT NULL,
    PRIMARY KEY (service_name, state_type, state_key)
);

CREATE MATERIALIZED VIEW relay_stats AS
SELECT relay.url AS relay_url, count(DISTINCT seen.event_id) AS event_count, max(event.created_at) AS last_event
FROM relay LEFT JOIN event_relay AS seen ON relay.url = seen.relay_url LEFT JOIN event ON event.id = seen.event_id
GROUP BY relay.url;
CREATE UNIQUE INDEX idx_relay_stats_relay_url ON relay_stats (relay_url);
COMMENT ON MATERIALIZED VIEW relay_stats IS 'events by relay';
CREATE VIEW busy_relay AS SELECT relay_url FROM relay_stats WHERE event_count > 1;
GRANT SELECT ON busy_relay TO PUBLIC;
GRANT SELECT, INSERT ON event_relay TO PUBLIC;

CREATE FUNCTION event_relay_insert(bytea[], text[], bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO event_relay (event_id, relay_url, seen_at)
    SELECT * FROM unnest($1, $2, $3) AS t (event_id, relay_url, seen_at)
    ON CONFLICT (event_id, relay_url) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
CREATE FUNCTION event_insert(bytea[], bytea[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
    SELECT id, pubkey, 1, 1, '[]', '{}', '', '' FROM unnest($1, $2) AS t (id, pubkey)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
CREATE FUNCTION orphan_event_delete() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    deleted integer;
BEGIN
    DELETE FROM event AS e WHERE NOT EXISTS (SELECT 1 FROM event_relay AS er WHERE er.event_id = e.id);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

INSERT INTO relay VALUES ('wss://a', 'clearnet', 1), ('wss://b', 'clearnet', 1), ('wss://c', 'tor', 1);
INSERT INTO event SELECT sha256(convert_to(n::text, 'UTF8')), sha256('author'), n, 1, '[]', '{}', '', sha256('sig')
                  FROM generate_series(1, 10) AS n;
INSERT INTO event_relay SELECT id, 'wss://a', 100 + created_at FROM event;
INSERT INTO event_relay SELECT id, 'wss://b', 200 FROM event WHERE created_at = 3;
REFRESH MATERIALIZED VIEW relay_stats;
