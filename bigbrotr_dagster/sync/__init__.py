"""The only room that joins the walk, the wire and the database: one relay's sync, and many relays'."""

from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, RelayURL, parse_relay_url
from bigbrotr_dagster.storage.coverage import GapReason, RelayCoverage, Seconds
from bigbrotr_dagster.storage.delivery import Cursor
from bigbrotr_dagster.storage.partition_notes import partition_notes
from bigbrotr_dagster.storage.registry import RegisteredRelay, RelayState
from bigbrotr_dagster.storage.run_lock import held_runs, run_lock
from bigbrotr_dagster.storage.stats import ArchiveStats, NetworkEvents, NetworkLag, TableSize
from bigbrotr_dagster.sync.admin import (
    cursors_beyond_coverage,
    delete_stale_cursors,
    due_relays,
    finished_since,
    register_relays,
    registered_relays,
    relay_states,
    remove_relays,
    removed_relays,
    seed_relays,
    unattempted_relays,
    went_well,
)
from bigbrotr_dagster.sync.config import SynchronizerConfig, run_network
from bigbrotr_dagster.sync.config_file import ALLOW_PRIVATE_VARIABLE, ConfigError, load_config
from bigbrotr_dagster.sync.coverage import (
    ArchiveCoverage,
    archive_coverage,
    forget_proof,
    open_gaps,
    proved_relays,
)
from bigbrotr_dagster.sync.cycle import BUSY_PATIENCE, sync_relays
from bigbrotr_dagster.sync.report import LEFT_OUT_NAMED, CycleReport, Progress, RelayReport, watched
from bigbrotr_dagster.sync.stats import archive_stats, lag_by_network, orphans, rejections, unsound_events
from bigbrotr_dagster.sync.work_queue import askable
from bigbrotr_dagster.windowing.kinds import RESTRICTED_KINDS

__all__ = [
    "ALLOW_PRIVATE_VARIABLE",
    "BUSY_PATIENCE",
    "LEFT_OUT_NAMED",
    "RESTRICTED_KINDS",
    "ArchiveCoverage",
    "ArchiveStats",
    "ConfigError",
    "Cursor",
    "CycleReport",
    "GapReason",
    "InvalidRelayURL",
    "NetworkEvents",
    "NetworkLag",
    "Progress",
    "RegisteredRelay",
    "RelayCoverage",
    "RelayReport",
    "RelayState",
    "RelayURL",
    "Seconds",
    "SynchronizerConfig",
    "TableSize",
    "archive_coverage",
    "archive_stats",
    "askable",
    "cursors_beyond_coverage",
    "delete_stale_cursors",
    "due_relays",
    "finished_since",
    "forget_proof",
    "held_runs",
    "lag_by_network",
    "load_config",
    "open_gaps",
    "orphans",
    "parse_relay_url",
    "partition_notes",
    "proved_relays",
    "register_relays",
    "registered_relays",
    "rejections",
    "relay_states",
    "remove_relays",
    "removed_relays",
    "run_lock",
    "run_network",
    "seed_relays",
    "sync_relays",
    "unattempted_relays",
    "unsound_events",
    "watched",
    "went_well",
]
