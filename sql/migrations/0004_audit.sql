-- Old windows are read again in rotation, one a run: `audited_from` is the first second of the last one, and
-- `audit_seconds` the length of the next, so that it holds about a hundred events.
ALTER TABLE sync_coverage
    ADD COLUMN audited_from  bigint,
    ADD COLUMN audit_seconds bigint NOT NULL DEFAULT 86400;

-- Drift: events of seconds that had been proved complete before, and were not there then.
ALTER TABLE sync_attempt ADD COLUMN late_events bigint NOT NULL DEFAULT 0;
