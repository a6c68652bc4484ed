-- How relays are: BigBrotr's `metadata` and `relay_metadata`, with their names, columns, keys and meanings, and what of
-- it the sync and people ask most often, in a row for each relay. Times are Unix seconds.

DO $$
BEGIN
    -- An adopted BigBrotr database has both, with indexes of its own names.
    IF to_regclass('metadata') IS NULL THEN
        -- One row per document and type: `id` is the SHA-256 of its canonical JSON.
        CREATE TABLE metadata (
            id   bytea NOT NULL,
            type text NOT NULL,
            data jsonb NOT NULL,
            PRIMARY KEY (id, type)
        );
    END IF;
    IF to_regclass('relay_metadata') IS NULL THEN
        -- One row per relay and check, over time.
        CREATE TABLE relay_metadata (
            relay_url     text NOT NULL REFERENCES relay (url) ON DELETE CASCADE,
            generated_at  bigint NOT NULL,
            metadata_type text NOT NULL,
            metadata_id   bytea NOT NULL,
            PRIMARY KEY (relay_url, generated_at, metadata_type),
            FOREIGN KEY (metadata_id, metadata_type) REFERENCES metadata (id, type) ON DELETE CASCADE
        );
        CREATE INDEX idx_relay_metadata_generated_at ON relay_metadata (generated_at DESC);
        CREATE INDEX idx_relay_metadata_metadata_id_type ON relay_metadata (metadata_id, metadata_type);
        CREATE INDEX idx_relay_metadata_relay_url_metadata_type_generated_at
            ON relay_metadata (relay_url, metadata_type, generated_at DESC);
    END IF;
    -- Materialized in BigBrotr, who refreshes it; here nobody would. A relay's newest row of each type is found by
    -- index: reading all of them would take longer each day.
    IF to_regclass('relay_metadata_latest') IS NULL THEN
        CREATE VIEW relay_metadata_latest AS
        SELECT relay.url AS relay_url, kind.type AS metadata_type, newest.generated_at, newest.metadata_id, metadata.data
        FROM relay
        CROSS JOIN (VALUES ('nip11_info'), ('nip66_rtt'), ('nip66_ssl'), ('nip66_geo'), ('nip66_net'), ('nip66_dns'),
                           ('nip66_http')) AS kind (type)
        CROSS JOIN LATERAL (
            SELECT generated_at, metadata_id FROM relay_metadata
            WHERE relay_url = relay.url AND metadata_type = kind.type
            ORDER BY generated_at DESC LIMIT 1
        ) AS newest
        JOIN metadata ON metadata.id = newest.metadata_id AND metadata.type = kind.type;
    END IF;
END $$;

-- The last check of each relay. It was `alive` if it spoke Nostr; `dead_since` is the first check of those in a row
-- of which that is not so, `reason` what was wrong with the last one.
CREATE TABLE relay_health (
    relay_url              text PRIMARY KEY REFERENCES relay (url) ON DELETE CASCADE,
    checked_at             bigint NOT NULL,
    alive                  boolean NOT NULL,
    alive_at               bigint,
    dead_since             bigint,
    certificate_expires_at bigint,
    reason                 text
);
