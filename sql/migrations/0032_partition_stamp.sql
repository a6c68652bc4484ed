-- What a Dagster instance that has every partition of the registry knows, and no other: each change of the partitions
-- draws it anew, first here and last there. So a partition that is missing from that instance was deleted in its UI.
CREATE TABLE partition_stamp (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    stamp uuid NOT NULL
);
INSERT INTO partition_stamp (stamp) VALUES (gen_random_uuid());
