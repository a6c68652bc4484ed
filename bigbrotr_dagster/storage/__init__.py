"""PostgreSQL: all that the archive asks of a server, and the server itself where nobody has one.

From the ground up:

- `queries`: the statements of `sql/`, by name. `private_files`: files and folders for our eyes only.
- `trouble`: what PostgreSQL refuses, as one line. `embedded`: a server of our own. `address`: where it all is.
- `sessions`: how a session begins, one or a pool of them. `databases`: made where they are missing, and migrated.
- `locks`: caps and runs that count over all processes. `left_out`: what coverage claims where rules change.
- `ingest`: events, observations and what they prove, in one transaction. `holdings`: what is stored of a relay, as
  NIP-77 compares it. `state`: what is known of a relay, before and after its sync.

What belongs here speaks SQL for the sake of a sync, or keeps a server up. What an operator or an asset asks of the
archive belongs into `archive`. Start reading at `sessions`, then `ingest`.
"""

__all__ = [
    "address",
    "databases",
    "embedded",
    "holdings",
    "ingest",
    "left_out",
    "locks",
    "private_files",
    "queries",
    "sessions",
    "state",
    "trouble",
]
