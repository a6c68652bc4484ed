-- What is learned about a relay beyond its page cap, and when a failing one is tried again.
ALTER TABLE relay_limits
    ADD COLUMN cut_pages     integer NOT NULL DEFAULT 0,
    ADD COLUMN hides         boolean NOT NULL DEFAULT false,
    ADD COLUMN rung          smallint NOT NULL DEFAULT 0,
    ADD COLUMN request_limit integer,
    ADD COLUMN pause         real NOT NULL DEFAULT 0,
    ADD COLUMN learned_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN retry_at      timestamptz;
