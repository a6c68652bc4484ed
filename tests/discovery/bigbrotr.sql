-- What BigBrotr 6.6.9's Monitor has in a database, written anew from its description: for the test of an adoption.
CREATE TABLE metadata (id bytea NOT NULL, type text NOT NULL, data jsonb NOT NULL, PRIMARY KEY (id, type));
CREATE TABLE relay_metadata (
    relay_url text NOT NULL REFERENCES relay (url) ON DELETE CASCADE,
    generated_at bigint NOT NULL,
    metadata_type text NOT NULL,
    metadata_id bytea NOT NULL,
    PRIMARY KEY (relay_url, generated_at, metadata_type),
    FOREIGN KEY (metadata_id, metadata_type) REFERENCES metadata (id, type) ON DELETE CASCADE
);
CREATE INDEX theirs_generated_at ON relay_metadata (generated_at DESC);
CREATE INDEX theirs_metadata ON relay_metadata (metadata_id, metadata_type);
CREATE INDEX theirs_newest ON relay_metadata (relay_url, metadata_type, generated_at DESC);

CREATE MATERIALIZED VIEW relay_metadata_latest AS
SELECT DISTINCT ON (check_of.relay_url, check_of.metadata_type)
       check_of.relay_url, check_of.metadata_type, check_of.generated_at, check_of.metadata_id, document.data
FROM relay_metadata AS check_of
JOIN metadata AS document ON document.id = check_of.metadata_id AND document.type = check_of.metadata_type
ORDER BY check_of.relay_url, check_of.metadata_type, check_of.generated_at DESC;
CREATE UNIQUE INDEX theirs_latest ON relay_metadata_latest (relay_url, metadata_type);

CREATE MATERIALIZED VIEW relay_software_counts AS
SELECT data -> 'data' ->> 'software' AS software, coalesce(data -> 'data' ->> 'version', 'unknown') AS version,
       count(*) AS relay_count
FROM relay_metadata_latest
WHERE metadata_type = 'nip11_info' AND data -> 'data' ->> 'software' IS NOT NULL
GROUP BY 1, 2;
CREATE MATERIALIZED VIEW supported_nip_counts AS
SELECT nip::integer AS nip, count(*) AS relay_count
FROM relay_metadata_latest CROSS JOIN LATERAL jsonb_array_elements_text(data -> 'data' -> 'supported_nips') AS nip
WHERE metadata_type = 'nip11_info' AND jsonb_typeof(data -> 'data' -> 'supported_nips') = 'array'
GROUP BY 1;

CREATE FUNCTION relay_insert(text[], text[], bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO relay (url, network, discovered_at) SELECT * FROM unnest($1, $2, $3) ON CONFLICT (url) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
CREATE FUNCTION metadata_insert(bytea[], text[], jsonb[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO metadata (id, type, data) SELECT * FROM unnest($1, $2, $3) ON CONFLICT (id, type) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
CREATE FUNCTION relay_metadata_insert(text[], bytea[], text[], bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    inserted integer;
BEGIN
    INSERT INTO relay_metadata (relay_url, metadata_id, metadata_type, generated_at)
    SELECT * FROM unnest($1, $2, $3, $4) ON CONFLICT (relay_url, generated_at, metadata_type) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
CREATE FUNCTION relay_metadata_insert_cascade(text[], text[], bigint[], bytea[], text[], jsonb[], bigint[])
RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM relay_insert($1, $2, $3);
    PERFORM metadata_insert($4, $5, $6);
    RETURN relay_metadata_insert($1, $4, $5, $7);
END $$;
CREATE FUNCTION orphan_metadata_delete(integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    deleted integer;
BEGIN
    DELETE FROM metadata AS m
    WHERE NOT EXISTS (SELECT 1 FROM relay_metadata AS r WHERE r.metadata_id = m.id AND r.metadata_type = m.type);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

CREATE FUNCTION relay_metadata_latest_refresh() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY relay_metadata_latest;
END $$;
CREATE FUNCTION service_state_upsert(text[], text[], text[], jsonb[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    upserted integer;
BEGIN
    INSERT INTO service_state (service_name, state_type, state_key, state_value)
    SELECT * FROM unnest($1, $2, $3, $4)
    ON CONFLICT (service_name, state_type, state_key) DO UPDATE SET state_value = excluded.state_value;
    GET DIAGNOSTICS upserted = ROW_COUNT;
    RETURN upserted;
END $$;
CREATE FUNCTION service_state_delete(text[], text[], text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    deleted integer;
BEGIN
    DELETE FROM service_state
    WHERE (service_name, state_type, state_key) IN (SELECT * FROM unnest($1, $2, $3));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;
