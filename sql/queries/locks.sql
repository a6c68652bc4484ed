-- Advisory locks: taken, given back, and who holds what. A session that holds a lock may take it once more.

-- name: held_locks
-- Those of the keys that a session of this database holds. PostgreSQL shows a key of 64 bits in two halves.
SELECT DISTINCT key
FROM pg_locks
CROSS JOIN LATERAL (SELECT (classid::bigint << 32) | objid::bigint AS key) AS whole
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND key = ANY(%(keys)s);

-- name: take_lock
-- Whether the lock is ours now.
SELECT pg_try_advisory_lock(%(key)s);

-- name: take_any_lock
-- The first of these locks that is free, and ours now. A row is tried only when it is its turn, so that no more than
-- one is taken.
SELECT key FROM unnest(%(key)s::bigint[]) AS key WHERE pg_try_advisory_lock(key) LIMIT 1;

-- name: take_locks_back
-- Take all of these; those that others hold.
SELECT array_agg(key) FROM unnest(%(key)s::bigint[]) AS key WHERE NOT pg_try_advisory_lock(key);

-- name: free_lock
-- Give a lock back.
SELECT pg_advisory_unlock(%(key)s);

-- name: share_lock
-- A lock that many hold at once: each says only that it is there.
SELECT pg_try_advisory_lock_shared(%(key)s);

-- name: free_shared_lock
-- As free_lock, of one that is shared.
SELECT pg_advisory_unlock_shared(%(key)s);

-- name: others_hold_lock
-- Whether anybody else holds the lock, shared or not; it is free again at once.
SELECT CASE WHEN pg_try_advisory_lock(%(key)s) THEN NOT pg_advisory_unlock(%(key)s) ELSE true END;

-- name: wait_for_lock
-- Take the lock, as soon as whoever has it gives it back.
SELECT pg_advisory_lock(%(key)s);

-- name: beat
-- A sign of life of the session.
SELECT 1;
