"""The way into the archive: what a relay delivered, and what that proves, together or not at all.

A `Delivery` waits in the `writer` for its batch, `prepare` sorts it (known, new, forged), `rows` packs it for
COPY, and `commit` stores events, observations, coverage, gaps and cursor in one transaction. `quarantine` brings
back what was rejected. Memory is bounded by `room`, questions to the database by what is `known`. Start reading at
`commit`.
"""

from bigbrotr_dagster.storage.ingest.delivery import Compared, Cursor, Delivery, Quarantined, Tally
from bigbrotr_dagster.storage.ingest.prepare import verify_signatures
from bigbrotr_dagster.storage.ingest.quarantine import Entry, release
from bigbrotr_dagster.storage.ingest.rows import LAST_SECOND, unstorable
from bigbrotr_dagster.storage.ingest.writer import BatchWriter, batch_writer

__all__ = [
    "LAST_SECOND",
    "BatchWriter",
    "Compared",
    "Cursor",
    "Delivery",
    "Entry",
    "Quarantined",
    "Tally",
    "batch_writer",
    "release",
    "unstorable",
    "verify_signatures",
]
