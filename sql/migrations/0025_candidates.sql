-- Relays that somebody has named and that nobody has tried yet, or that failed when they were tried. What one person can
-- cause is bounded: rows of one author (`first_author`) and of one host, and all together.
CREATE TABLE relay_candidate (
    url          text PRIMARY KEY,
    network      text NOT NULL,
    host         text NOT NULL,
    source       text NOT NULL,              -- who named it first: event, monitor, file, api, bigbrotr, operator
    first_event  bytea,                      -- the event that named it first, and its author; null for other sources
    first_author bytea,
    mentions     bigint NOT NULL DEFAULT 0,  -- events that name it
    named_by     bigint[] NOT NULL DEFAULT '{}',  -- their authors: eight bytes of each public key, 64 at most
    vouched_at   bigint,                     -- when a trusted monitor last called it alive (Unix time, NIP-66)
    first_seen   timestamptz NOT NULL DEFAULT now(),
    tried_at     timestamptz,
    failures     integer NOT NULL DEFAULT 0, -- in a row
    reason       text,                       -- of the last failure: a word, and what was said
    error        text,
    next_try     timestamptz NOT NULL DEFAULT now(),  -- 'infinity': the operator does not want it
    promoted_at  timestamptz                 -- when it became a relay
);
CREATE INDEX relay_candidate_first_author ON relay_candidate (first_author);
CREATE INDEX relay_candidate_host ON relay_candidate (host);
CREATE INDEX relay_candidate_promoted_at ON relay_candidate (promoted_at);
CREATE INDEX relay_candidate_next_try ON relay_candidate (next_try) WHERE promoted_at IS NULL;
