"""The only room that joins the walk, the wire and the database: one relay's sync, and many relays'."""

from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.storage.coverage import GapReason, RelayCoverage, Seconds
from bigbrotr_dagster.storage.delivery import Cursor
from bigbrotr_dagster.storage.registry import RegisteredRelay, RelayState, TableSize
from bigbrotr_dagster.sync.admin import (
    archive_counts,
    cursors_beyond_coverage,
    delete_stale_cursors,
    due_relays,
    register_relays,
    registered_relays,
    relay_counts,
    relay_states,
    remove_relays,
    seed_relays,
    unattempted_relays,
)
from bigbrotr_dagster.sync.config import SynchronizerConfig, run_network
from bigbrotr_dagster.sync.config_file import ConfigError, load_config
from bigbrotr_dagster.sync.coverage import ArchiveCoverage, archive_coverage, open_gaps, proved_relays
from bigbrotr_dagster.sync.cycle import sync_relays
from bigbrotr_dagster.sync.report import CycleReport, Progress, RelayReport, watched

__all__ = [
    "ArchiveCoverage",
    "ConfigError",
    "Cursor",
    "CycleReport",
    "GapReason",
    "InvalidRelayURL",
    "Progress",
    "RegisteredRelay",
    "RelayCoverage",
    "RelayReport",
    "RelayState",
    "Seconds",
    "SynchronizerConfig",
    "TableSize",
    "archive_counts",
    "archive_coverage",
    "cursors_beyond_coverage",
    "delete_stale_cursors",
    "due_relays",
    "load_config",
    "open_gaps",
    "parse_relay_url",
    "proved_relays",
    "register_relays",
    "registered_relays",
    "relay_counts",
    "relay_states",
    "remove_relays",
    "run_network",
    "seed_relays",
    "sync_relays",
    "unattempted_relays",
    "watched",
]
