"""Which relays are archived: the table `relay`, and what it was when Dagster's partitions last equalled it.

`relays` registers them and takes them off, `partition_notes` remembers which of them Dagster has partitions of.
Start reading at `relays`.
"""

from bigbrotr_dagster.archive.registry.relays import (
    RegisteredRelay,
    delete_stale_cursors,
    register_relays,
    registered_relays,
    remove_relays,
    removed_relays,
    seed_relays,
)

__all__ = [
    "RegisteredRelay",
    "delete_stale_cursors",
    "partition_notes",
    "register_relays",
    "registered_relays",
    "remove_relays",
    "removed_relays",
    "seed_relays",
]
