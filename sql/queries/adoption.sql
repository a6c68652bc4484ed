-- A BigBrotr database is taken over while BigBrotr goes on: `event_relay` stays its table until the end, what is written
-- into it is mirrored into `observation`, older rows are copied in batches, and one short transaction puts the view in
-- the table's place. What is needed meanwhile stands in a schema of its own, which is there as long as that is under way.

-- name: adoption_state
-- What `event_relay` is (r, p: a table; v: the view; null: nothing), whether BigBrotr's other tables are there, and
-- whether this database is being taken over.
SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('event_relay')),
       to_regclass('event') IS NOT NULL AND to_regclass('relay') IS NOT NULL AND to_regclass('service_state') IS NOT NULL,
       to_regnamespace('bigbrotr_adoption') IS NOT NULL;

-- name: estimated_observations
-- How many rows `event_relay` has, about: by what was counted last, else by its size and the 106 bytes of a row.
SELECT coalesce(sum(CASE WHEN relpages > 0 AND reltuples > 0
                         THEN reltuples / relpages * (pg_relation_size(oid) / current_setting('block_size')::integer)
                         ELSE pg_relation_size(oid) / 106 END), 0)::bigint
FROM pg_class
WHERE relkind = 'r'
  AND (oid = to_regclass('event_relay') OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass('event_relay'))));

-- name: adoption_progress
-- How much of the numbering and the copying is done, in percent: one half each.
SELECT coalesce(sum(part), 0)::float8
FROM (SELECT 50.0 * sum(next) / greatest(sum(blocks), 1) AS part FROM bigbrotr_adoption.walk GROUP BY step) AS each;

-- name: adoption_obstacles
-- What stands in the way, in words: rows without the keys that make the copy whole, and what else hangs on the table.
SELECT 'event_relay has no foreign key to ' || wanted.name
FROM unnest(ARRAY['event', 'relay']) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = 'event_relay'::regclass
                  AND confrelid = wanted.name::regclass AND convalidated)
UNION ALL
SELECT format('%s refers to event_relay by a foreign key: drop that', conrelid::regclass)
FROM pg_constraint WHERE contype = 'f' AND confrelid = 'event_relay'::regclass
UNION ALL
SELECT format('%s reads event_relay from another schema: drop it, and make it again afterwards', class.oid::regclass)
FROM pg_depend
JOIN pg_rewrite AS rule ON rule.oid = objid
JOIN pg_class AS class ON class.oid = rule.ev_class
WHERE refclassid = 'pg_class'::regclass AND refobjid = 'event_relay'::regclass AND classid = 'pg_rewrite'::regclass
  AND relnamespace <> (SELECT relnamespace FROM pg_class WHERE oid = 'event_relay'::regclass)
  AND relnamespace <> coalesce(to_regnamespace('bigbrotr_adoption'), 0::oid)
UNION ALL
SELECT DISTINCT format('%s depends on event_relay: drop it, and make it again afterwards', objid::regprocedure)
FROM pg_depend
WHERE classid = 'pg_proc'::regclass
  AND ((refclassid = 'pg_class'::regclass AND refobjid = 'event_relay'::regclass)
       OR (refclassid = 'pg_type'::regclass
           AND refobjid IN (SELECT unnest(ARRAY[pg_type.oid, typarray]) FROM pg_type
                            WHERE typrelid = 'event_relay'::regclass)))
UNION ALL
SELECT format('%s groups by a key alone: let it name all columns', rule.ev_class::regclass)
FROM pg_depend
JOIN pg_constraint AS key ON key.oid = refobjid AND key.contype = 'p'
JOIN pg_rewrite AS rule ON rule.oid = objid
WHERE refclassid = 'pg_constraint'::regclass AND classid = 'pg_rewrite'::regclass
  AND key.conrelid IN ('event'::regclass, 'event_relay'::regclass)
UNION ALL
SELECT 'event has a column seq that is not ours'
FROM pg_attribute
WHERE attrelid = 'event'::regclass AND attname = 'seq' AND NOT attisdropped AND to_regclass('event_seq') IS NULL;

-- name: begin_adoption
-- How far each partition has been gone through, by blocks of the disk: those below `next` are done. A table that is
-- written anew meanwhile (VACUUM FULL) has another `filenode`, and is gone through from its beginning.
CREATE SCHEMA bigbrotr_adoption;
CREATE TABLE bigbrotr_adoption.walk (
    step     text NOT NULL,
    leaf     oid NOT NULL,
    filenode oid NOT NULL,
    blocks   bigint NOT NULL,
    next     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (step, leaf)
);
CREATE FUNCTION bigbrotr_adoption.leaves(root regclass) RETURNS TABLE (leaf regclass) LANGUAGE sql STABLE AS $$
    SELECT relid FROM pg_partition_tree(root) WHERE isleaf
    UNION SELECT oid::regclass FROM pg_class WHERE oid = root AND relkind = 'r'
$$;

-- name: try_to_adopt
-- One process at a time takes a database over; the lock is the session's.
SELECT pg_try_advisory_lock(7022364301936096371);

-- name: end_with_the_client
-- A statement whose client was killed ends within so long, and gives its locks back.
SET client_connection_check_interval = '2s';

-- name: keep_vacuum_away
-- Readers and writers do not wait for this lock, and none of them waits behind it; autovacuum gives way to it.
LOCK TABLE relay, event, event_relay IN SHARE UPDATE EXCLUSIVE MODE;

-- name: lock_events
-- To give `event` a column or a constraint.
LOCK TABLE event IN ACCESS EXCLUSIVE MODE;

-- name: lock_events_for_an_index
-- To make an index of the partitions' indexes.
LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_for_the_mirror
-- Whoever writes now has ended, and whoever writes next is mirrored.
LOCK TABLE relay, event, event_relay IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_observations
-- To empty them.
LOCK TABLE observation IN ACCESS EXCLUSIVE MODE;

-- name: lock_everything
-- To put the view in the table's place.
LOCK TABLE relay, event, event_relay IN ACCESS EXCLUSIVE MODE;

-- name: who_is_in_the_way
-- The session that has held its lock on these tables for longest, and how long its transaction has taken in seconds.
SELECT pid, extract(epoch FROM now() - xact_start)::float8
FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE relation IN (to_regclass('event'), to_regclass('event_relay'), to_regclass('relay'))
  AND granted AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 1;

-- name: has_event_numbers
-- Whether `event` has its column, and whether every row is known to have a number.
SELECT count(*) = 1, coalesce(bool_and(attnotnull), false)
FROM pg_attribute WHERE attrelid = 'event'::regclass AND attname = 'seq' AND NOT attisdropped;

-- name: number_new_events
-- In two steps, for a column that is added with this default would be written into every row at once.
ALTER TABLE event ADD COLUMN seq bigint;
ALTER TABLE event ALTER COLUMN seq SET DEFAULT nextval('event_seq');

-- name: begin_walk
-- What a step goes through: all that the partitions hold now.
INSERT INTO bigbrotr_adoption.walk (step, leaf, filenode, blocks)
SELECT %(step)s, leaf, pg_relation_filenode(leaf), pg_relation_size(leaf) / current_setting('block_size')::integer
FROM bigbrotr_adoption.leaves(%(table)s::regclass)
ON CONFLICT DO NOTHING;

-- name: next_stretch
-- The partition that is least far along, so that all are gone through side by side, in the order of arrival.
SELECT leaf, nspname, relname, next, blocks, greatest(reltuples, 0) / greatest(relpages, 1)
FROM bigbrotr_adoption.walk JOIN pg_class ON pg_class.oid = leaf JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE step = %(step)s AND next < blocks ORDER BY next::float8 / blocks, leaf LIMIT 1;

-- name: walk_length
-- Blocks that a step has gone through, and all of them.
SELECT coalesce(sum(next), 0)::bigint, coalesce(sum(blocks), 0)::bigint
FROM bigbrotr_adoption.walk WHERE step = %(step)s;

-- name: note_stretch
-- In the transaction of what was done to these blocks, if they are still the same.
UPDATE bigbrotr_adoption.walk SET next = %(end)s
WHERE step = %(step)s AND leaf = %(leaf)s AND filenode = pg_relation_filenode(leaf);

-- name: walk_again
-- The partition was written anew.
UPDATE bigbrotr_adoption.walk
SET next = 0, filenode = pg_relation_filenode(leaf), blocks = pg_relation_size(leaf) / current_setting('block_size')::integer
WHERE step = %(step)s AND leaf = %(leaf)s;

-- name: forget_walk
-- The step has to be gone through once more.
DELETE FROM bigbrotr_adoption.walk WHERE step = %(step)s;

-- name: number_events
-- The events of some blocks that have no number yet. One that somebody else has locked is left for later: we wait for
-- nobody, so that nobody can wait for us in a circle.
UPDATE {leaf} SET seq = nextval('event_seq')
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {leaf}
    WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid AND seq IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
));

-- name: want_event_numbers
-- From now on no row is without; those that are there are looked at later.
ALTER TABLE event ADD CONSTRAINT bigbrotr_adoption_seq CHECK (seq IS NOT NULL) NOT VALID;

-- name: is_number_wanted
-- Whether that was said before.
SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'event'::regclass AND conname = 'bigbrotr_adoption_seq');

-- name: look_for_unnumbered
-- All of a partition is read, and nobody waits.
ALTER TABLE {leaf} VALIDATE CONSTRAINT bigbrotr_adoption_seq;

-- name: every_event_has_its_number
-- Without a look: the constraint says so.
ALTER TABLE event VALIDATE CONSTRAINT bigbrotr_adoption_seq;
ALTER TABLE event ALTER COLUMN seq SET NOT NULL;
ALTER TABLE event DROP CONSTRAINT bigbrotr_adoption_seq;

-- name: leaves
-- The tables that hold the rows of a table: its partitions, or itself.
SELECT nspname, relname
FROM bigbrotr_adoption.leaves(%(table)s::regclass) JOIN pg_class ON pg_class.oid = leaf
JOIN pg_namespace ON pg_namespace.oid = relnamespace ORDER BY relname;

-- name: vacuum_leaf
-- Numbering leaves an old version of each row behind. Not where autovacuum is at it already.
VACUUM (ANALYZE, SKIP_LOCKED) {leaf};

-- name: is_partitioned
-- Whether `event` has partitions, and whether a table other than `event_relay` refers to it.
SELECT relkind = 'p',
       EXISTS (SELECT FROM pg_constraint WHERE confrelid = 'event'::regclass AND contype = 'f'
               AND conrelid <> 'event_relay'::regclass
               AND conrelid NOT IN (SELECT relid FROM pg_partition_tree('event_relay')))
FROM pg_class WHERE oid = 'event'::regclass;

-- name: index_named
-- What is indexed by an index of `event`, and whether it can be used; no row where there is none.
SELECT substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)$'), indisvalid
FROM pg_index WHERE indexrelid = to_regclass(%(name)s);

-- name: index_of_leaf
-- The index of a table that is like this one and a part of no other: its name, and whether it can be used.
SELECT nspname, relname, indisvalid
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE indrelid = format('%%I.%%I', %(schema)s::text, %(leaf)s::text)::regclass AND indisunique = %(is_unique)s
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
  AND substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)$') = %(content)s
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
ORDER BY indisvalid DESC LIMIT 1;

-- name: has_part_on
-- Whether an index of a partitioned table has its part on this partition.
SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
               WHERE inhparent = to_regclass(%(name)s)
                 AND indrelid = format('%%I.%%I', %(schema)s::text, %(leaf)s::text)::regclass);

-- name: index_concurrently
-- Nobody waits, but for whoever changes the table itself.
CREATE {unique} INDEX CONCURRENTLY {name} ON {leaf} USING {content};

-- name: index_without_parts
-- Of a partitioned table: the parts are made one by one, and joined to it.
CREATE INDEX {name} ON ONLY event USING {content};

-- name: join_index
-- When the last one is joined, the whole can be used.
ALTER INDEX {name} ATTACH PARTITION {part};

-- name: drop_index
-- One that was not finished.
DROP INDEX CONCURRENTLY {index};

-- name: mirror_writes
-- Whatever is written into `event_relay` from now on, by whomever, is written into `observation` in the same transaction.
-- A batch of the copy sees rows that somebody is deleting, and would put them back: so who deletes waits for the end of
-- the batch under way (a shared lock; the batch has it for itself), and then takes along what the batch brought.
CREATE FUNCTION bigbrotr_adoption.mirror_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
    known_event bigint;
    known_relay integer;
BEGIN
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        PERFORM pg_advisory_xact_lock_shared(7022364301936096372);
        DELETE FROM observation
        WHERE event_seq = (SELECT seq FROM event WHERE id = OLD.event_id)
          AND relay_id = (SELECT id FROM relay_key WHERE url = OLD.relay_url);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        SELECT seq INTO known_event FROM event WHERE id = NEW.event_id;
        SELECT id INTO known_relay FROM relay_key WHERE url = NEW.relay_url;
        IF NOT FOUND THEN
            INSERT INTO relay_key (url) VALUES (NEW.relay_url)
            ON CONFLICT (url) DO UPDATE SET url = excluded.url RETURNING id INTO known_relay;
        END IF;
        INSERT INTO observation (event_seq, relay_id, seen_at) VALUES (known_event, known_relay, NEW.seen_at)
        ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE observation;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER bigbrotr_adoption_row AFTER INSERT OR UPDATE OR DELETE ON event_relay
    FOR EACH ROW EXECUTE FUNCTION bigbrotr_adoption.mirror_row();
CREATE TRIGGER bigbrotr_adoption_truncated AFTER TRUNCATE ON event_relay
    FOR EACH STATEMENT EXECUTE FUNCTION bigbrotr_adoption.mirror_row();

-- Its number cannot be asked for any more where the event itself is deleted.
CREATE FUNCTION bigbrotr_adoption.event_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7022364301936096372);
    DELETE FROM observation WHERE event_seq = OLD.seq;
    RETURN NULL;
END $$;
CREATE TRIGGER bigbrotr_adoption_deleted AFTER DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION bigbrotr_adoption.event_deleted();

INSERT INTO relay_key (url) SELECT url FROM relay ORDER BY url;

-- name: is_mirrored
-- Whether writes are mirrored already.
SELECT to_regprocedure('bigbrotr_adoption.mirror_row()') IS NOT NULL;

-- name: pass_over_what_is_there
-- A view has no unique index that ON CONFLICT could name; BigBrotr's procedures mean any conflict anyway. Of the table, too.
-- The lock: two processes that replace a procedure at once would fail.
DO $$
DECLARE
    body text;
BEGIN
    FOR body IN SELECT pg_get_functiondef(oid) FROM pg_proc
                WHERE prokind IN ('f', 'p') AND prosrc ~ 'INTO event_relay\M'
                  AND prosrc ~ 'ON CONFLICT \(event_id, relay_url\) DO NOTHING' LOOP
        PERFORM pg_advisory_xact_lock(7022364301936096373);
        EXECUTE replace(body, 'ON CONFLICT (event_id, relay_url) DO NOTHING', 'ON CONFLICT DO NOTHING');
    END LOOP;
END $$;

-- name: try_to_copy
-- For the time of a batch nobody deletes; where somebody is at it, false.
SELECT pg_try_advisory_xact_lock(7022364301936096372);

-- name: look_up_one_by_one
-- Whatever the planner believes of tables that change this fast: a batch is small beside them.
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;

-- name: adopt_observations
-- The rows of some blocks, in the order of arrival. What came here by itself meanwhile is passed over.
INSERT INTO observation (event_seq, seen_at, relay_id)
SELECT event.seq, old.seen_at, relay_key.id
FROM {leaf} AS old JOIN event ON event.id = old.event_id JOIN relay_key ON relay_key.url = old.relay_url
WHERE old.ctid >= %(first)s::tid AND old.ctid < %(end)s::tid
ORDER BY old.seen_at, event.seq
ON CONFLICT DO NOTHING;

-- name: analyze_adopted
-- Plans of the view hang on what is known of these.
ANALYZE observation;
ANALYZE relay_key;

-- name: differing_relays
-- Relays of which the table and its copy do not hold the same, by the number of rows and the sum of their times, in one
-- look at both. There must be none.
WITH old AS (
    SELECT relay_url AS url, count(*) AS rows, sum(seen_at) AS seen FROM event_relay GROUP BY relay_url
), new AS (
    SELECT relay_key.url, counted.rows, counted.seen
    FROM (SELECT relay_id, count(*) AS rows, sum(seen_at) AS seen FROM observation GROUP BY relay_id) AS counted
    LEFT JOIN relay_key ON relay_key.id = relay_id
)
SELECT coalesce(old.url, new.url), coalesce(old.rows, 0), coalesce(new.rows, 0)
FROM old FULL JOIN new ON new.url = old.url
WHERE (old.rows, old.seen) IS DISTINCT FROM (new.rows, new.seen) ORDER BY 1;

-- name: empty_observations
-- They are copied once more, from the beginning.
TRUNCATE observation;

-- name: forget_twins
-- Those of an earlier try.
DO $$
DECLARE
    twin record;
BEGIN
    FOR twin IN SELECT oid::regclass AS name, CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS what
                FROM pg_class
                WHERE relnamespace = 'bigbrotr_adoption'::regnamespace AND relkind IN ('m', 'v') LOOP
        IF to_regclass(twin.name::text) IS NOT NULL THEN
            EXECUTE format('DROP %s %s CASCADE', twin.what, twin.name);
        END IF;
    END LOOP;
END $$;

-- name: note_indexes_of_views
-- As they have to be made on the twins: without the schema.
CREATE TEMPORARY TABLE index_of_view ON COMMIT DROP AS
SELECT name, pg_get_indexdef(indexrelid, 0, true) AS definition
FROM dependent_view JOIN pg_index ON indrelid = name::regclass;

-- name: look_in_the_adoption_first
-- Names of views mean the twins from here on, to the end of the transaction.
SELECT set_config('search_path', 'bigbrotr_adoption, ' || current_setting('search_path'), true);

-- name: make_twins
-- The views on `event_relay` once more, on the view that will be in its place: a materialized one takes its time to be
-- computed, and until the end of it the first one is read.
DO $$
DECLARE
    view record;
    index record;
BEGIN
    FOR view IN SELECT * FROM dependent_view ORDER BY depth LOOP
        EXECUTE format('CREATE %s bigbrotr_adoption.%s AS %s', view.what, view.name, view.definition);
        FOR index IN SELECT definition FROM index_of_view WHERE index_of_view.name = view.name LOOP
            EXECUTE index.definition;
        END LOOP;
    END LOOP;
END $$;

-- name: put_twins_in_place
-- The table goes with the views on it, and their twins get the names, comments, owners and privileges.
DO $$
DECLARE
    view record;
    place name := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'event_relay'::regclass);
BEGIN
    FOR view IN SELECT * FROM dependent_view ORDER BY depth DESC LOOP
        EXECUTE format('DROP %s %s', view.what, view.name);
    END LOOP;
    DROP TABLE event_relay;
    EXECUTE format('ALTER VIEW bigbrotr_adoption.event_relay SET SCHEMA %s', place);
    EXECUTE (SELECT format('GRANT ALL ON event_relay TO %I', owner) FROM replaced);
    PERFORM pg_temp.grant_again('event_relay', privileges) FROM replaced;
    FOR view IN SELECT * FROM dependent_view ORDER BY depth LOOP
        EXECUTE format('ALTER %s bigbrotr_adoption.%s SET SCHEMA %s', view.what, view.name, place);
        EXECUTE format('COMMENT ON %s %s IS %L', view.what, view.name, view.description);
        EXECUTE format('ALTER %s %s OWNER TO %I', view.what, view.name, view.owner);
        PERFORM pg_temp.grant_again(view.name, view.privileges);
    END LOOP;
END $$;

-- name: put_key_in_place
-- The key that holds `seq`, too (migration 8): of the indexes that were made beforehand, so that none is built now.
DO $$
DECLARE
    key name := (SELECT conname FROM pg_constraint WHERE conrelid = 'event'::regclass AND contype = 'p');
    part record;
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE confrelid = 'event'::regclass AND contype = 'f') THEN
        RETURN;
    END IF;
    CREATE TEMPORARY TABLE key_of_leaf ON COMMIT DROP AS
    SELECT leaf, conname, (
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = leaf AND indisunique AND indisvalid
          AND substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)$') = 'btree (id) INCLUDE (seq)'
        LIMIT 1
    ) AS index
    FROM bigbrotr_adoption.leaves('event') JOIN pg_constraint ON conrelid = leaf AND contype = 'p';
    EXECUTE format('ALTER TABLE event DROP CONSTRAINT %I', key);
    FOR part IN SELECT * FROM key_of_leaf LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', part.leaf, part.conname, part.index);
    END LOOP;
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = 'event'::regclass) THEN
        EXECUTE format('ALTER TABLE event ADD CONSTRAINT %I PRIMARY KEY (id) INCLUDE (seq)', key);
    END IF;
END $$;

-- name: end_adoption
-- All that was needed meanwhile, with the triggers.
DROP SCHEMA bigbrotr_adoption CASCADE;

-- name: undo_adoption
-- As it was before: nothing of BigBrotr's was changed but `event`, which has a column less again.
DROP SCHEMA bigbrotr_adoption CASCADE;
DROP TABLE IF EXISTS observation, relay_key;
ALTER TABLE event DROP COLUMN IF EXISTS seq;
DROP SEQUENCE IF EXISTS event_seq;

-- name: trust_cursors
-- What BigBrotr's cursors say to be read counts as covered, but for the cursor's own second, of which it may hold a part.
-- It was read at no age that we know of, so all of it is read again, while nothing of it is pending. Only of relays of
-- which we know nothing, and of cursors that are not in the future. Ours then claims the same.
WITH claim AS (
    SELECT url, (state_value ->> 'timestamp')::numeric::bigint AS second
    FROM service_state JOIN relay ON url = state_key
    WHERE service_name = 'synchronizer' AND state_type = 'cursor'
      AND CASE WHEN jsonb_typeof(state_value -> 'timestamp') = 'number'
               THEN (state_value ->> 'timestamp')::numeric BETWEEN 1 AND extract(epoch FROM now()) ELSE false END
      AND NOT EXISTS (SELECT FROM sync_coverage WHERE sync_coverage.relay_url = url)
      AND NOT EXISTS (SELECT FROM sync_attempt WHERE sync_attempt.relay_url = url)
), trusted AS (
    INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered, read_at_ages)
    SELECT url, %(filter_hash)s, '{}', int8multirange(int8range(0, second)), '{}' FROM claim
)
UPDATE service_state
SET state_value = jsonb_build_object('timestamp', second - 1, 'id', repeat('f', 64))
FROM claim WHERE service_name = 'synchronizer' AND state_type = 'cursor' AND state_key = url;
