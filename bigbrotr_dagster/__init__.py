"""An archive of Nostr as a Dagster asset graph: one partition per relay, one promise per second.

For programs of others (docs/python.md) this holds what they need to sync without Dagster, and for their Dagster
projects `ArchiveComponent`. Each is imported when it is first named: whoever wants the other does not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigbrotr_dagster.archive.synchronizer import Synchronizer
    from bigbrotr_dagster.component import ArchiveComponent
    from bigbrotr_dagster.config import ConfigError, SynchronizerConfig, load_config
    from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
    from bigbrotr_dagster.sync import CycleReport, RelayReport, sync_relays

__version__ = "0.1.0"

__all__ = [
    "ArchiveComponent",
    "ConfigError",
    "CycleReport",
    "DatabaseUnavailable",
    "RelayReport",
    "Synchronizer",
    "SynchronizerConfig",
    "load_config",
    "sync_relays",
]

_ROOMS = {
    "ArchiveComponent": "component",
    "ConfigError": "config",
    "CycleReport": "sync",
    "DatabaseUnavailable": "storage.trouble",
    "RelayReport": "sync",
    "Synchronizer": "archive.synchronizer",
    "SynchronizerConfig": "config",
    "load_config": "config",
    "sync_relays": "sync",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    """All that can be named here: `dg` looks for components so."""
    return sorted({*globals(), *__all__})
