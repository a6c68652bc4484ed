"""The relays that a run is asked for and does not try: none of them failed, and their partitions stay as they are.

A relay may have been taken off the registry while its run waited, or its network may be switched off.
"""

from collections.abc import Sequence

import dagster as dg

from bigbrotr_dagster.archive.registry import removed_relays
from bigbrotr_dagster.archive.turns import went_well
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, listing
from bigbrotr_dagster.defs.instance.partition_events import RunContext, is_partitioned, write_events
from bigbrotr_dagster.defs.runs import FROM_THE_REGISTRY
from bigbrotr_dagster.defs.runs.in_flight import BACKFILL_TAG, NETWORK_TAG
from bigbrotr_dagster.sync import RelayReport

NO_LONGER_REGISTERED = "no longer registered"


class SkippedRelays:
    """What one run skips. `left` are the relays to try."""

    def __init__(self, context: RunContext, database_url: str, urls: Sequence[str]) -> None:
        self._context = context
        self._database_url = database_url
        # Whoever asks for one relay wants to know why it is not synced; schedules and backfills ask for many.
        self._is_asked_alone = len(urls) == 1 and not {NETWORK_TAG, BACKFILL_TAG} & context.run.tags.keys()
        self._removed = removed_relays(database_url, urls)
        self._why = dict.fromkeys(sorted(self._removed), NO_LONGER_REGISTERED)
        self.left = [url for url in urls if url not in self._removed]

    def takes(self, report: RelayReport) -> bool:
        """Whether this relay is skipped; else the run answers for it."""
        return report.skipped and not self._is_asked_alone

    def take(self, report: RelayReport) -> None:
        """Remember a relay that was skipped, and why."""
        self._why[report.url] = report.error or ""

    def record(self) -> None:
        """Say in the run's log what was skipped; where partitions were asked for, let each be as it was.

        A run that fails makes all its partitions red that it does not materialize, and a backfill waits for each.
        So those that were green are materialized once more; what was red, or never synced, is not made green.
        """
        if not self._why:
            return
        self._context.log.info(f"{len(self._why)} relays skipped\n{listing(self._why)}")
        if is_partitioned(self._context):
            green = self._removed | went_well(self._database_url, list(self._why))
            events = [
                dg.AssetMaterialization(
                    RELAY_CURSOR, partition=url, metadata={"skipped": why}, tags=FROM_THE_REGISTRY
                )
                for url, why in self._why.items()
                if url in green
            ]
            write_events(self._context, events)
