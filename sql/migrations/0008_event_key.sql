-- The writer asks for `seq` by `id` more often than for anything else: the index answers, without reading events, so
-- that what a known event costs does not grow with the table. The index is built anew.
-- Where a table of somebody else refers to `event`, its key stays as it is.
DO $$
DECLARE
    key name;
BEGIN
    SELECT conname INTO key FROM pg_constraint WHERE conrelid = 'event'::regclass AND contype = 'p';
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = 'event'::regclass AND contype = 'f') THEN
        EXECUTE format('ALTER TABLE event DROP CONSTRAINT %1$I, ADD CONSTRAINT %1$I PRIMARY KEY (id) INCLUDE (seq)', key);
    END IF;
END $$;
