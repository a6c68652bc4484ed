-- Advisory locks: who holds what.

-- name: held_locks
-- Those of the keys that a session of this database holds. PostgreSQL shows a key of 64 bits in two halves.
SELECT DISTINCT key
FROM pg_locks
CROSS JOIN LATERAL (SELECT (classid::bigint << 32) | objid::bigint AS key) AS whole
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND key = ANY(%(keys)s);
