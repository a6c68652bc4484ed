-- What a session, or a transaction of it, is told beside `begin_session`.

-- name: end_statements_after
-- In this transaction a statement ends after so many milliseconds (text).
SELECT set_config('statement_timeout', %(milliseconds)s, true);

-- name: end_session_statements_after
-- As above, for the rest of the session.
SELECT set_config('statement_timeout', %(milliseconds)s, false);

-- name: end_waiting_after
-- In this transaction no lock is waited for longer than so many milliseconds (text).
SELECT set_config('lock_timeout', %(milliseconds)s, true);

-- name: end_waiting_after_a_minute
-- Whoever holds a lock for longer does not give it back soon.
SET lock_timeout = '60s';

-- name: commit_without_waiting
-- The transaction is not on disk yet when it ends: a crash of the server takes back the last ones, whole.
SET LOCAL synchronous_commit = off;

-- name: which_backend
-- In one message, which is one transaction: nothing stays set on whoever's backend it is.
SET LOCAL statement_timeout = 0;
SELECT pg_backend_pid();

-- name: which_backend_in_a_transaction
-- As above, and the transaction stays open: a pooler has to keep its backend for us until it ends.
BEGIN;
SET LOCAL statement_timeout = 0;
SELECT pg_backend_pid();
