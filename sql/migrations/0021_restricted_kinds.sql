-- Whether a relay gives us the kinds that some keep for whom they concern: '' while that is not known, open,
-- withheld (we have no key), refused (our key is not let in), given (to our key).
ALTER TABLE relay_limits ADD COLUMN restricted_kinds text NOT NULL DEFAULT '';
