-- Seconds are read again at growing ages (17 minutes, 2.3 hours, 18 hours, ...), no more in rotation. By age: the
-- seconds that were read when they were at least so old. NULL where that is not known: then they count as read when
-- the relay's last sync succeeded, so that an archive of an earlier version goes on without reading all of it again.
ALTER TABLE sync_coverage
    DROP COLUMN audited_from,
    DROP COLUMN audit_seconds,
    ADD COLUMN read_at_ages int8multirange[];
