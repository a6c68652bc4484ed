-- The registry as Dagster's partitions were last made equal to it: what tells a relay that was taken off the registry,
-- whose partition has to go (its key is here), from a partition that a person added in the UI (it is not).
CREATE TABLE relay_partition (
    key text PRIMARY KEY
);
INSERT INTO relay_partition (key) SELECT url FROM relay UNION SELECT relay_url FROM relay_limits;
