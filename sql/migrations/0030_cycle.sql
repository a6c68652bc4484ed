-- How long runs take, for who watches the archive: a cycle is one run's sync of its relays. Attempts are pruned, and none
-- of them says when its run began or ended.

-- A row for each cycle of the last days. `ok` is false where it was stopped; `finished_at` stays null where the process
-- died or the database was away at the end.
CREATE TABLE sync_cycle (
    run_id      text PRIMARY KEY,
    relays      integer NOT NULL,            -- that it was to sync
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    ok          boolean
);
CREATE INDEX sync_cycle_started_at ON sync_cycle (started_at);
CREATE INDEX sync_cycle_finished_at ON sync_cycle (finished_at);
CREATE INDEX sync_attempt_run_id ON sync_attempt (run_id);

-- The totals of all cycles that ended, in one row, which changes once a cycle. `buckets` counts those that took at most
-- as many seconds as `bounds` says: BigBrotr's bounds, and its longest cycle.
CREATE TABLE sync_cycle_total (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    ok      bigint NOT NULL DEFAULT 0,
    stopped bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    bounds  double precision[] NOT NULL DEFAULT '{1,5,10,30,60,120,300,600,1800,3600,14400}',
    buckets bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0,0}'
);
INSERT INTO sync_cycle_total DEFAULT VALUES;
