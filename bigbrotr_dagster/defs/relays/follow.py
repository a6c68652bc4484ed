"""Partitions follow the registry, and the registry takes what a person adds in the UI.

| the key is | in the registry | not in the registry |
|---|---|---|
| a partition that was noted before | nothing to do | was taken off the registry: removed, once nothing names it |
| a partition, never noted | nothing to do | was added in the UI: registered; removed if it is no relay URL |
| no partition | added (back, if it was deleted in the UI) | nothing to do |

A partition that is deleted in the UI comes back: a click there also takes away what a run or a backfill waits for,
and an instance of Dagster that is new has no partition at all. `relays remove` is what takes a relay off.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from bigbrotr_dagster.archive.partition_notes import partition_notes
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, RELAY_HEALTH, RELAYS
from bigbrotr_dagster.defs.instance.partition_events import open_backfill_partitions
from bigbrotr_dagster.defs.instance.storage import require_own
from bigbrotr_dagster.defs.relays.registered import registry_metadata
from bigbrotr_dagster.defs.runs.in_flight import IN_FLIGHT, named_relays
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, RelayURL, parse_relay_url

REMOVING_SECONDS = 5.0
"""Dagster removes one partition a call; what is left after so long is removed at the next tick."""

MOST_NAMED = 20


@dataclass(slots=True)
class Followed:
    """What was done, each in order of the keys; `refused` says why."""

    added: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line on each kind of change that there was."""
        said = [
            (self.added, "partitions added"),
            (
                self.restored,
                "partitions are back, for their relays are registered (`relays remove` takes one off)",
            ),
            (self.removed, "partitions removed"),
            (self.waiting, "partitions are removed later: runs or backfills name them, or time was over"),
            (self.registered, "relays registered, for somebody added their partitions"),
            ([f"{key!r}: {why}" for key, why in self.refused.items()], "partitions refused"),
        ]
        return [f"{len(keys)} {what}: {_listing(keys)}" for keys, what in said if keys]


def follow_registry(instance: dg.DagsterInstance, database_url: str, options: SynchronizerConfig) -> Followed:
    """Make partitions and registry equal; one process at a time does.

    One call adds all partitions: Dagster rebuilds its partition cache at every addition. A change is also a
    materialization of asset `relays`, which needs no run.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or the instance belongs to another archive.
    """
    require_own(instance.daemon_cursor_storage, database_url)
    followed = Followed()
    with partition_notes(database_url) as notes:
        existing = set(instance.get_dynamic_partitions("relay"))
        new = notes.note()
        relays = notes.relays()
        wanted = {relay.url for relay in relays}
        unknown = existing - wanted
        given, followed.refused = _read(sorted(unknown - notes.noted(unknown)), options)
        if given:
            followed.registered = notes.register(given.values())
            wanted |= {relay.url for relay in given.values()}
        missing = sorted(wanted - existing)
        if missing:
            instance.add_dynamic_partitions("relay", missing)
        known = wanted.difference(new, followed.registered)
        followed.restored = [key for key in missing if key in known]
        followed.added = [key for key in missing if key not in known]
        gone = sorted(existing - wanted)
        followed.removed = _remove(instance, gone)
        followed.waiting = sorted(set(gone) - set(followed.removed))
        notes.forget(followed.removed)
        if followed.removed or missing or followed.registered:
            metadata = registry_metadata(notes.relays())
            instance.report_runless_asset_event(dg.AssetMaterialization(RELAYS, metadata=metadata))
    return followed


def _read(keys: Iterable[str], options: SynchronizerConfig) -> tuple[dict[str, RelayURL], dict[str, str]]:
    """The relays that keys name; and the other keys, with what is wrong with each."""
    relays, refused = {}, {}
    for key in keys:
        try:
            relay = parse_relay_url(key)
        except InvalidRelayURL as error:
            refused[key] = str(error)
            continue
        if relay.network == "local" and not options.allow_private:
            refused[key] = "private address; allow_private is not set"
        else:
            relays[key] = relay
    return relays, refused


def _remove(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Remove the partitions that nothing waits for, as far as time allows; returns which."""
    removed: list[str] = []
    if not keys:
        return removed
    used: set[str] = set()
    for asset in (RELAY_CURSOR, RELAY_HEALTH):
        used |= open_backfill_partitions(instance, asset)
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT)):
            used.update(named_relays(run, instance, asset))
    deadline = time.monotonic() + REMOVING_SECONDS
    for key in keys:
        if time.monotonic() > deadline:
            break
        if key not in used:
            instance.delete_dynamic_partition("relay", key)
            removed.append(key)
    return removed


def _listing(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return ", ".join(key if key.isprintable() else repr(key) for key in keys[:MOST_NAMED]) + more
