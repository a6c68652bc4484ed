-- How many answers of a relay turned out to be cut, up to as many as tell whether it always cuts at one length.
ALTER TABLE relay_limits ADD COLUMN cuts smallint NOT NULL DEFAULT 0;
