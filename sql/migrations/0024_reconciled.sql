-- Reconciling (NIP-77) in place of reading again: whether a relay speaks it, how far its old seconds were compared,
-- and what was found that no event tells.

-- '' while nobody knows, spoken, unsupported, distrusted (it said what its answers to REQ did not bear out).
ALTER TABLE relay_limits
    ADD COLUMN negentropy    text NOT NULL DEFAULT '',
    ADD COLUMN negentropy_at timestamptz;

-- The old seconds are compared from the newest ones down, and again: the first one that was compared last.
ALTER TABLE sync_coverage ADD COLUMN reconciled_from bigint;

-- Events that a relay held once and holds no more: deleted, expired, replaced. Nothing is ever deleted for that.
CREATE TABLE gone_event (
    relay_id   integer NOT NULL,
    event_seq  bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (relay_id, event_seq)
);

-- Events that a relay says it holds, and does not send when it is asked for them, or sends as what is no event, and
-- is in quarantine; each lies between the two seconds.
CREATE TABLE withheld_event (
    relay_url   text NOT NULL,
    filter_hash text NOT NULL,
    event_id    bytea NOT NULL,
    since       bigint NOT NULL,
    until       bigint NOT NULL,
    is_refused  boolean NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT now(),
    last_try    timestamptz NOT NULL DEFAULT now(),
    tries       integer NOT NULL DEFAULT 1,
    PRIMARY KEY (relay_url, filter_hash, event_id)
);

ALTER TABLE sync_attempt
    ADD COLUMN late_by        jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN events_claimed bigint NOT NULL DEFAULT 0,
    ADD COLUMN events_gone    bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION sync_attempt_counts(attempt sync_attempt) RETURNS TABLE (name text, value bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN QUERY
    VALUES ('attempts:ok', CASE WHEN attempt.ok THEN 1::bigint ELSE 0 END),
           ('attempts:failed', CASE WHEN attempt.ok THEN 0 ELSE 1 END),
           ('events_received', attempt.events_received),
           ('events_new', attempt.events_new),
           ('events_known', attempt.events_known),
           ('events_claimed', attempt.events_claimed),
           ('events_gone', attempt.events_gone),
           ('late_events', attempt.late_events),
           ('observations_new', attempt.observations_new),
           ('requests', attempt.requests),
           ('bytes_received', attempt.bytes_received)
    UNION ALL
    SELECT 'rejected:' || rejected.reason, rejected.events::bigint
    FROM jsonb_each_text(attempt.events_rejected) AS rejected (reason, events)
    UNION ALL
    SELECT 'late:' || late.age, late.events::bigint
    FROM jsonb_each_text(attempt.late_by) AS late (age, events);
END $$;

-- An event that somebody deletes takes what is known of it along.
CREATE OR REPLACE FUNCTION event_delete_observations() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gone_event USING deleted, observation
    WHERE observation.event_seq = deleted.seq
      AND (gone_event.relay_id, gone_event.event_seq) = (observation.relay_id, observation.event_seq);
    DELETE FROM observation USING deleted WHERE event_seq = deleted.seq;
    RETURN NULL;
END $$;
