"""Partitions follow the registry, and the registry takes what a person adds and deletes in the UI.

| the key is | in the registry | not in the registry |
|---|---|---|
| a partition that was noted before | nothing to do | was taken off the registry: removed, once nothing names it |
| a partition, never noted | nothing to do | was added in the UI: registered; removed if it is no relay URL |
| no partition, noted before | was deleted in the UI: unregistered; or lost: added back | forgotten |
| no partition, never noted | added | nothing to do |

Deleted or lost, that tells a stamp: archive and instance have the same one only while the instance has got a
partition for each note. An instance that is new, was emptied or comes from a backup has another one, and gets
every partition. So does one that lost more than half of them at once: that was no person. Who means it has the job
`remove_relays`.

What is deleted while a run names it comes back until that ends, as with `relays remove`; what a backfill names
does not go before that ends (`instance.event_log`).
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from bigbrotr_dagster.archive.registry.partition_notes import PartitionNotes, partition_notes
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, RELAY_HEALTH, RELAYS
from bigbrotr_dagster.defs.instance.event_log import deleting_at_once
from bigbrotr_dagster.defs.instance.partition_events import open_backfill_partitions
from bigbrotr_dagster.defs.instance.storage import require_own
from bigbrotr_dagster.defs.relays.configuration import configuration_metadata
from bigbrotr_dagster.defs.relays.registered import registry_metadata
from bigbrotr_dagster.defs.runs.in_flight import IN_FLIGHT, named_relays
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, RelayURL, parse_relay_url

REMOVING_SECONDS = 5.0
"""Dagster removes one partition a call; what is left after so long is removed at the next tick."""

FEW = 20
"""Partitions; where there are as many, more than half of them do not go at once by a person's wish."""

STAMP_KEY = "bigbrotr/partitions"
"""Where Dagster's own storage keeps the stamp."""

MOST_NAMED = 20


@dataclass(slots=True)
class Followed:
    """What was done, each in order of the keys; `refused` says why."""

    added: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    is_empty: bool = False
    """Whether no relay is registered now."""

    @property
    def changed(self) -> bool:
        """Whether registry or partitions are others now."""
        added = self.added or self.restored or self.lost or self.registered
        return bool(added or self.unregistered or self.removed)

    def lines(self) -> list[str]:
        """One line on each kind of change that there was."""
        said = [
            (self.added, "partitions added"),
            (self.restored, "partitions added: this Dagster instance did not have them yet, or not any more"),
            (self.unregistered, "relays unregistered, for somebody deleted their partitions"),
            (self.removed, "partitions removed"),
            (self.waiting, "partitions are removed later: runs or backfills name them, or time was over"),
            (self.registered, "relays registered, for somebody added their partitions"),
            ([f"{key!r}: {why}" for key, why in self.refused.items()], "partitions refused"),
        ]
        return [*self.warnings(), *(f"{len(keys)} {what}: {_listing(keys)}" for keys, what in said if keys)]

    def warnings(self) -> list[str]:
        """Those of the lines that somebody has to see."""
        what = (
            "partitions were gone at once, more than half of all; they are back, and no relay was unregistered "
            "(`relays remove` and the job `remove_relays` take relays off)"
        )
        return [f"{len(self.lost)} {what}: {_listing(self.lost)}"] if self.lost else []


def follow_registry(
    instance: dg.DagsterInstance, database_url: str, options: SynchronizerConfig, *, tell: bool = False
) -> Followed:
    """Make partitions and registry equal; one process at a time does.

    One call adds all partitions: Dagster rebuilds its partition cache at every addition. A change is also a
    materialization of asset `relays`, which needs no run; so is the first look at an instance. With `tell` one is
    made in any case.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or the instance belongs to another archive.
    """
    require_own(instance.daemon_cursor_storage, database_url)
    followed = Followed()
    with partition_notes(database_url) as notes:
        existing = set(instance.get_dynamic_partitions("relay"))
        notes.forget_lost(existing)
        stamp = notes.stamp()
        is_in_step = _stamp(instance) == stamp
        new = notes.note()
        wanted = {relay.url for relay in notes.relays()}
        _sort_out(wanted - new, existing, is_in_step, followed)
        unknown = existing - wanted
        given, followed.refused = read_urls(sorted(unknown - notes.noted(unknown)), options)
        if given or unknown or wanted - existing:
            notes.renew_stamp()
        if followed.unregistered:
            notes.unregister(followed.unregistered)
            wanted -= {*followed.unregistered}
        if given:
            added = {relay.url for relay in given.values()}
            noted = notes.register(given.values())
            followed.registered = sorted(noted & added)
            wanted |= noted | added
        _change(instance, notes, wanted, existing, followed)
        followed.is_empty = not wanted
        if tell or followed.changed or not is_in_step:
            metadata = registry_metadata(notes.relays()) | configuration_metadata()
            instance.report_runless_asset_event(dg.AssetMaterialization(RELAYS, metadata=metadata))
        if notes.stamp() != stamp or not is_in_step:
            instance.daemon_cursor_storage.set_cursor_values({STAMP_KEY: notes.stamp()})
    return followed


def _stamp(instance: dg.DagsterInstance) -> str | None:
    """What the instance knows of the archive's partitions; None where it is new."""
    return instance.daemon_cursor_storage.get_cursor_values({STAMP_KEY}).get(STAMP_KEY)


def _sort_out(known: set[str], existing: set[str], is_in_step: bool, followed: Followed) -> None:
    """Say of the relays that were noted before, and have no partition, whether somebody deleted it."""
    absent = sorted(known - existing)
    if not is_in_step:
        followed.restored = absent
    elif len(known) >= FEW and 2 * len(absent) > len(known):
        followed.lost = absent
    else:
        followed.unregistered = absent


def _change(
    instance: dg.DagsterInstance, notes: PartitionNotes, wanted: set[str], existing: set[str], followed: Followed
) -> None:
    """Give each relay that is wanted its partition, and take away the others, but for what is waited for."""
    gone = sorted((existing - wanted) | {*followed.unregistered})
    used = _used(instance) if gone else set()
    back = used & {*followed.unregistered}
    missing = sorted((wanted | back) - existing)
    if missing:
        instance.add_dynamic_partitions("relay", missing)
    followed.added = [key for key in missing if key not in {*followed.restored, *followed.lost, *back}]
    followed.removed = _remove(instance, [key for key in gone if key in existing and key not in used])
    deleted = {*followed.removed, *followed.unregistered} - back
    notes.forget(deleted)
    followed.waiting = [key for key in gone if key not in deleted]


def read_urls(keys: Iterable[str], options: SynchronizerConfig) -> tuple[dict[str, RelayURL], dict[str, str]]:
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


def _used(instance: dg.DagsterInstance) -> set[str]:
    """The partitions that runs and backfills name, which are not done."""
    used = open_backfill_partitions(instance)
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT)):
        for asset in (RELAY_CURSOR, RELAY_HEALTH):
            used.update(named_relays(run, instance, asset))
    return used


def _remove(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Remove partitions, as far as time allows; returns which."""
    removed: list[str] = []
    deadline = time.monotonic() + REMOVING_SECONDS
    for key in keys:
        if time.monotonic() > deadline:
            break
        with deleting_at_once():
            instance.delete_dynamic_partition("relay", key)
        removed.append(key)
    return removed


def _listing(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return ", ".join(key if key.isprintable() else repr(key) for key in keys[:MOST_NAMED]) + more
