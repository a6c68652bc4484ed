-- What is known about each relay's completeness, and how its syncs went.

-- The seconds of a relay that are proved complete under one filter. A multirange is always kept in normal form
-- by PostgreSQL; its ranges are half-open, so '{[5,8)}' are the seconds 5, 6 and 7.
CREATE TABLE sync_coverage (
    relay_url   text NOT NULL,
    filter_hash text NOT NULL,
    filter      jsonb NOT NULL,
    covered     int8multirange NOT NULL,
    PRIMARY KEY (relay_url, filter_hash)
);

-- Seconds that were asked for and could not be proved complete. `since` and `until` are both inside.
CREATE TABLE sync_gap (
    relay_url   text NOT NULL,
    filter_hash text NOT NULL,
    since       bigint NOT NULL,
    until       bigint NOT NULL,
    reason      text NOT NULL,
    held        integer NOT NULL DEFAULT 0,
    first_seen  timestamptz NOT NULL DEFAULT now(),
    last_try    timestamptz NOT NULL DEFAULT now(),
    tries       integer NOT NULL DEFAULT 1,
    PRIMARY KEY (relay_url, filter_hash, since, until),
    CHECK (since <= until)
);

-- One row per relay and run. `finished_at` is null while the sync runs, and stays null if its process died.
CREATE TABLE sync_attempt (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relay_url        text NOT NULL,
    run_id           text NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    ok               boolean,
    error            text,
    events_received  bigint NOT NULL DEFAULT 0,
    events_new       bigint NOT NULL DEFAULT 0,
    events_known     bigint NOT NULL DEFAULT 0,
    events_rejected  jsonb NOT NULL DEFAULT '{}',
    observations_new bigint NOT NULL DEFAULT 0,
    requests         bigint NOT NULL DEFAULT 0,
    bytes_received   bigint NOT NULL DEFAULT 0
);
CREATE INDEX sync_attempt_relay_url ON sync_attempt (relay_url, id DESC);

-- What was learned about a relay, and when it was last tried. The learned values are null while unknown.
CREATE TABLE relay_limits (
    relay_url       text PRIMARY KEY,
    largest_answer  integer NOT NULL DEFAULT 0,
    cut_at          integer,
    since_exclusive boolean,
    until_exclusive boolean,
    answer_order    text NOT NULL DEFAULT 'newest-first',
    insecure        boolean NOT NULL DEFAULT false,
    attempted_at    timestamptz,
    succeeded_at    timestamptz,
    failures        integer NOT NULL DEFAULT 0
);

-- What a relay sent and the archive did not take: why, and the bytes. At most 1,000 rows a relay.
CREATE TABLE event_quarantine (
    relay_url text NOT NULL,
    digest    bytea NOT NULL,
    reason    text NOT NULL,
    event_id  text,
    raw       bytea NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (relay_url, digest)
);
CREATE INDEX event_quarantine_reason ON event_quarantine (reason, seen_at);
