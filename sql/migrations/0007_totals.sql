-- Running totals of each relay's finished attempts. The attempts themselves are pruned after some days, and go with a
-- relay that is removed, so that their sums go down; what a monitor counts must not. One set of rows for each relay:
-- rows that all syncs shared would be a queue, and long chains of dead versions while a backup runs.

-- `name` is a count of `sync_attempt`, 'attempts:' with 'ok' or 'failed', or 'rejected:' with the reason. Rows outlive
-- their relay's registration, under the network that it had.
CREATE TABLE sync_total (
    relay_url text NOT NULL,
    name      text NOT NULL,
    network   text NOT NULL,
    value     bigint NOT NULL,
    PRIMARY KEY (relay_url, name)
) WITH (fillfactor = 70);

-- Not in SQL, which would be inlined: PostgreSQL 18 cannot plan that ("variable not found in subplan target list").
CREATE FUNCTION sync_attempt_counts(attempt sync_attempt) RETURNS TABLE (name text, value bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN QUERY
    VALUES ('attempts:ok', CASE WHEN attempt.ok THEN 1::bigint ELSE 0 END),
           ('attempts:failed', CASE WHEN attempt.ok THEN 0 ELSE 1 END),
           ('events_received', attempt.events_received),
           ('events_new', attempt.events_new),
           ('events_known', attempt.events_known),
           ('late_events', attempt.late_events),
           ('observations_new', attempt.observations_new),
           ('requests', attempt.requests),
           ('bytes_received', attempt.bytes_received)
    UNION ALL
    SELECT 'rejected:' || rejected.reason, rejected.events::bigint
    FROM jsonb_each_text(attempt.events_rejected) AS rejected (reason, events);
END $$;

INSERT INTO sync_total (relay_url, name, network, value)
SELECT attempt.relay_url, counted.name, coalesce(min(relay.network), 'unregistered'), sum(counted.value)
FROM sync_attempt AS attempt
CROSS JOIN LATERAL sync_attempt_counts(attempt) AS counted
LEFT JOIN relay ON relay.url = attempt.relay_url
WHERE attempt.finished_at IS NOT NULL
GROUP BY attempt.relay_url, counted.name;

CREATE FUNCTION sync_attempt_add_to_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sync_total AS kept (relay_url, name, network, value)
    SELECT NEW.relay_url, counted.name,
           coalesce((SELECT network FROM relay WHERE url = NEW.relay_url), 'unregistered'), counted.value
    FROM sync_attempt_counts(NEW) AS counted
    ON CONFLICT (relay_url, name) DO UPDATE SET value = kept.value + excluded.value;
    RETURN NULL;
END $$;
CREATE TRIGGER sync_attempt_add_to_total AFTER UPDATE ON sync_attempt
    FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION sync_attempt_add_to_total();
