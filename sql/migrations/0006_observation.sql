-- Who was seen with which event, in a third of the bytes: integer keys in `observation`, and `event_relay` as a view of
-- it with the names of BigBrotr 6.6.9. sql/README.md has the measurements and the reason.
--
-- Rows that are there already (of an adopted BigBrotr database too) are kept, in this one transaction. `event` and
-- the observations are written anew, and materialized views on `event_relay` computed anew: some minutes for each
-- million events, under a lock, with room on the disk for both.

-- What an event is called by observations: 8 bytes in place of 32, ascending in the order of arrival, so that
-- what arrives together lies together. Not an identity column: PostgreSQL 15 has none for a partitioned table.
-- Not owned by the column: TRUNCATE ... RESTART IDENTITY must not give numbers out again.
CREATE SEQUENCE event_seq;
GRANT USAGE ON SEQUENCE event_seq TO PUBLIC;
ALTER TABLE event ADD COLUMN seq bigint NOT NULL DEFAULT nextval('event_seq');

DO $$
BEGIN
    -- BigBrotr's `event` is partitioned by id: no index that lacks `id` can be unique there.
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = 'event'::regclass) THEN
        CREATE INDEX idx_event_seq ON event (seq);
    ELSE
        CREATE UNIQUE INDEX idx_event_seq ON event (seq);
    END IF;
END $$;

-- Every relay that was ever seen with an event; a row outlives its relay's registration.
CREATE TABLE relay_key (
    id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url text NOT NULL UNIQUE
);

-- Which relay was seen to hold which event, and when first. No foreign keys, for they halve the rate;
-- the writer's transaction and the trigger below guarantee what they would.
CREATE TABLE observation (
    event_seq bigint NOT NULL,
    seen_at   bigint NOT NULL,
    relay_id  integer NOT NULL
);

INSERT INTO relay_key (url) SELECT DISTINCT relay_url FROM event_relay ORDER BY 1;
INSERT INTO observation (event_seq, seen_at, relay_id)
SELECT event.seq, old.seen_at, relay_key.id
FROM event_relay AS old JOIN event ON event.id = old.event_id JOIN relay_key ON relay_key.url = old.relay_url
ORDER BY old.seen_at, event.seq;

ALTER TABLE observation ADD PRIMARY KEY (event_seq, relay_id);
-- A page of a relay has one `seen_at`, so that this index holds each of its keys once for all of the page.
CREATE INDEX idx_observation_relay_id_seen_at ON observation (relay_id, seen_at);
-- Rows lie in the order of arrival: their smallest and largest `seen_at` in each stretch of the disk are enough.
CREATE INDEX idx_observation_seen_at ON observation USING brin (seen_at);

CREATE FUNCTION pg_temp.grant_again(relation text, privileges aclitem[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT * FROM aclexplode(privileges) LOOP
        EXECUTE format('GRANT %s ON %s TO %s', one.privilege_type, relation,
                       CASE one.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(one.grantee)) END);
    END LOOP;
END $$;

-- The views that read `event_relay`, and those that read them (`depth`): taken down now, put back in the end.
CREATE TEMPORARY TABLE dependent_view ON COMMIT DROP AS
WITH RECURSIVE dependent (oid, depth) AS (
    SELECT 'event_relay'::regclass::oid, 0
    UNION
    SELECT rule.ev_class, depth + 1
    FROM dependent
    JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = dependent.oid
                  AND classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = objid AND rule.ev_class <> dependent.oid
)
SELECT class.oid::regclass::text AS name, max(depth) AS depth,
       CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS what, pg_get_viewdef(class.oid) AS definition,
       pg_get_userbyid(relowner) AS owner, relacl AS privileges, obj_description(class.oid, 'pg_class') AS description,
       ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = class.oid) AS indexes
FROM dependent JOIN pg_class AS class USING (oid)
WHERE depth > 0 GROUP BY class.oid, relkind, relowner, relacl;

CREATE TEMPORARY TABLE replaced ON COMMIT DROP AS
SELECT pg_get_userbyid(relowner) AS owner, relacl AS privileges FROM pg_class WHERE oid = 'event_relay'::regclass;

DO $$
DECLARE
    view record;
BEGIN
    FOR view IN SELECT * FROM dependent_view ORDER BY depth DESC LOOP
        EXECUTE format('DROP %s %s', view.what, view.name);
    END LOOP;
END $$;
DROP TABLE event_relay;

-- LEFT JOIN, though both rows are always there: a query that needs one of the names only is spared the other join.
CREATE VIEW event_relay AS
SELECT event.id AS event_id, relay_key.url AS relay_url, observation.seen_at
FROM observation
LEFT JOIN event ON event.seq = observation.event_seq
LEFT JOIN relay_key ON relay_key.id = observation.relay_id;

-- What others write into `event_relay` goes on working, a row at a time. A pair that is there already is passed over.
CREATE FUNCTION event_relay_insert_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    known_event bigint;
    known_relay integer;
BEGIN
    SELECT seq INTO known_event FROM event WHERE id = NEW.event_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('event %s is not stored', encode(NEW.event_id, 'hex'));
    END IF;
    SELECT id INTO known_relay FROM relay_key WHERE url = NEW.relay_url;
    IF NOT FOUND THEN
        INSERT INTO relay_key (url) VALUES (NEW.relay_url)
        ON CONFLICT (url) DO UPDATE SET url = excluded.url RETURNING id INTO known_relay;
    END IF;
    INSERT INTO observation (event_seq, relay_id, seen_at) VALUES (known_event, known_relay, NEW.seen_at)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER event_relay_insert_row INSTEAD OF INSERT ON event_relay
    FOR EACH ROW EXECUTE FUNCTION event_relay_insert_row();

CREATE FUNCTION event_relay_delete_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM observation
    WHERE event_seq = (SELECT seq FROM event WHERE id = OLD.event_id)
      AND relay_id = (SELECT id FROM relay_key WHERE url = OLD.relay_url);
    IF FOUND THEN
        RETURN OLD;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER event_relay_delete_row INSTEAD OF DELETE ON event_relay
    FOR EACH ROW EXECUTE FUNCTION event_relay_delete_row();

-- An event that somebody deletes takes its observations along, as BigBrotr's foreign key had it.
CREATE FUNCTION event_delete_observations() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM observation USING deleted WHERE event_seq = deleted.seq;
    RETURN NULL;
END $$;
CREATE TRIGGER event_delete_observations AFTER DELETE ON event REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION event_delete_observations();

DO $$
DECLARE
    view record;
    name text;
    body text;
BEGIN
    -- The view stays ours, for it reads our tables; the owner of the table keeps all rights.
    EXECUTE (SELECT format('GRANT ALL ON event_relay TO %I', owner) FROM replaced);
    PERFORM pg_temp.grant_again('event_relay', privileges) FROM replaced;
    FOR view IN SELECT * FROM dependent_view ORDER BY depth LOOP
        EXECUTE format('CREATE %s %s AS %s', view.what, view.name, view.definition);
        FOREACH name IN ARRAY view.indexes LOOP
            EXECUTE name;
        END LOOP;
        EXECUTE format('COMMENT ON %s %s IS %L', view.what, view.name, view.description);
        EXECUTE format('ALTER %s %s OWNER TO %I', view.what, view.name, view.owner);
        PERFORM pg_temp.grant_again(view.name, view.privileges);
    END LOOP;
    -- A view has no unique index that this could name; BigBrotr's procedures mean any conflict anyway.
    FOR body IN SELECT pg_get_functiondef(oid) FROM pg_proc
                WHERE prokind IN ('f', 'p') AND prosrc ~ 'INTO event_relay\M'
                  AND prosrc ~ 'ON CONFLICT \(event_id, relay_url\) DO NOTHING' LOOP
        EXECUTE replace(body, 'ON CONFLICT (event_id, relay_url) DO NOTHING', 'ON CONFLICT DO NOTHING');
    END LOOP;
END $$;
DROP FUNCTION pg_temp.grant_again;
ANALYZE event;
ANALYZE observation;
ANALYZE relay_key;
