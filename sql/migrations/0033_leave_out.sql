-- What the archive leaves out by choice, and since when: the newest row is in force. Coverage says it, too, in its
-- filter; these rows tell when that has changed, for then older claims are of less.
CREATE TABLE leave_out (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rules jsonb NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
