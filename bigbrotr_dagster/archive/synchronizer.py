"""The synchronizer as an object, for programs of others: what BigBrotr's `Synchronizer` offers, without Dagster.

Its cycles share caps, locks and proofs with those of runs and commands: all of them can be at work at once.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bigbrotr_dagster.archive.registry import delete_stale_cursors, register_relays
from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.config import SynchronizerConfig, load_config
from bigbrotr_dagster.storage.address import database_url
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.sync import CycleReport, sync_relays

DAY = 86_400.0
"""Seconds."""


class Synchronizer:
    """Syncs the relays of the archive at `database` (a URL of PostgreSQL; None: as the commands choose it).

    `async with` makes the archive ready: its database, and its schema.
    """

    def __init__(self, database: str | None = None, config: SynchronizerConfig | None = None) -> None:
        self.config = config or SynchronizerConfig()
        self._given = database
        self._url: str | None = None

    @classmethod
    def from_yaml(cls, path: str | Path, database: str | None = None) -> "Synchronizer":
        """With the options of a YAML file, BigBrotr's `synchronizer.yaml` among them.

        Raises:
            ConfigError: the file is missing, is not YAML, or holds an unknown key or a wrong value.
        """
        return cls(database, load_config(Path(path)))

    async def __aenter__(self) -> "Synchronizer":
        """Raises DatabaseUnavailable: there is no server, or it refuses."""
        self._url = await asyncio.to_thread(self._ready)
        return self

    def _ready(self) -> str:
        url = self._given or database_url()
        ensure_database(url)
        return url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._url = None

    @property
    def database(self) -> str:
        """The archive's URL, inside of `async with`."""
        if self._url is None:
            raise RuntimeError("a Synchronizer works inside of `async with`")
        return self._url

    async def register(self, urls: Sequence[str]) -> int:
        """Register relays; returns how many are new.

        Raises:
            InvalidRelayURL: one of them is not a relay URL; nothing is registered then.
        """
        return await asyncio.to_thread(register_relays, self.database, urls)

    async def run(self, urls: Sequence[str] | None = None) -> CycleReport:
        """One cycle: the given relays, or all registered ones that do not wait after a failure.

        Cancelling stores what was received and proved.

        Raises:
            DatabaseUnavailable: the database does not answer, or stopped answering.
        """
        if urls is None:
            due = await asyncio.to_thread(due_relays, self.database, self.config, interval=0)
            urls = [url for network in due.values() for url in network]
        return await sync_relays(self.database, self.config, urls)

    async def synchronize(self) -> int:
        """As `run`; returns the pairs of an event and a relay that are new, as BigBrotr counts what was synced."""
        report = await self.run()
        return sum(relay.observations_new for relay in report.relays)

    async def run_forever(self) -> None:
        """A cycle every `interval` seconds, and a cleanup once a day, until it is cancelled.

        Raises:
            DatabaseUnavailable: the database does not answer, or stopped answering.
        """
        cleaned = -DAY
        while True:
            started = time.monotonic()
            if started - cleaned >= DAY:
                await self.cleanup()
                cleaned = started
            await self.run()
            await asyncio.sleep(max(0.0, self.config.interval - (time.monotonic() - started)))

    async def cleanup(self) -> int:
        """Delete the state of relays that are no longer registered, never events; returns the cursors deleted.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        return await asyncio.to_thread(delete_stale_cursors, self.database)
