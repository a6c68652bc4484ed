-- Seconds that events are waited for after a relay's EOSE, for they were seen to come after it.
ALTER TABLE relay_limits ADD COLUMN eose_grace real NOT NULL DEFAULT 0;
