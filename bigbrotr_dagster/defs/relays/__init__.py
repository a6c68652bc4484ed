"""Assets and checks on single relays: one partition each, the asset that syncs it, and what Dagster shows of it.

`assets` has `relays` and `relay_cursor`, `checks` what is judged with them; `records` is what a sync leaves in the
UI, `skipped` says it of partitions that were passed over. `follow` keeps partitions and registry equal,
`registry_jobs` change the latter, and `resync_job` reads a range again; `configuration` is what the syncs go by.
Start reading at `assets`.
"""

from bigbrotr_dagster.defs.relays.assets import relay_cursor, relays
from bigbrotr_dagster.defs.relays.checks import cursor_within_coverage
from bigbrotr_dagster.defs.relays.configuration import configuration_mark
from bigbrotr_dagster.defs.relays.follow import follow_registry
from bigbrotr_dagster.defs.relays.registered import NEXT_STEP
from bigbrotr_dagster.defs.relays.registry_jobs import add_relays, remove_relays
from bigbrotr_dagster.defs.relays.resync_job import resync

__all__ = [
    "NEXT_STEP",
    "add_relays",
    "configuration_mark",
    "cursor_within_coverage",
    "follow_registry",
    "relay_cursor",
    "relays",
    "remove_relays",
    "resync",
]
