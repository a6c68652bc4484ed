"""A run's life: what it is given, what it is about, how it is stopped, and how others see that it is dead.

`resources` hands a run the archive and the options; `in_flight` says which relays runs are busy with; `records`
writes what a run tells of its relays; `event_loop` lets a sync be interrupted; `run_process` and `process_name`
tell the living from the dead. Start reading at `run_process`.
"""

from bigbrotr_dagster.defs.runs.event_loop import run_interruptibly
from bigbrotr_dagster.defs.runs.records import FROM_THE_REGISTRY, REGISTRY_VERSION, Records
from bigbrotr_dagster.defs.runs.resources import ArchiveDatabase, Synchronizer

__all__ = [
    "FROM_THE_REGISTRY",
    "REGISTRY_VERSION",
    "ArchiveDatabase",
    "Records",
    "Synchronizer",
    "in_flight",
    "run_interruptibly",
    "run_process",
]
