-- What a session, or a transaction of it, is told beside `begin_session`.

-- name: end_statements_after
-- In this transaction a statement ends after so many milliseconds (text).
SELECT set_config('statement_timeout', %(milliseconds)s, true);

-- name: end_session_statements_after
-- As above, for the rest of the session.
SELECT set_config('statement_timeout', %(milliseconds)s, false);
