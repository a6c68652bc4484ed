-- An estimate of the events that a gap lacks, from the relay's COUNT (NIP-45) or its answers; null where nothing tells.
ALTER TABLE sync_gap ADD COLUMN missing bigint;
