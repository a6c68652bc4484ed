"""The graph at work: the real definitions, a real instance, a real archive, scripted relays on loopback."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, remove_relays
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation.refreshes import LastLook
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, RELAY_PARTITIONS
from bigbrotr_dagster.defs.relays import follow_registry
from bigbrotr_dagster.nostr.event import Event
from tests.nostr.helpers import signed
from tests.ports import free_port
from tests.relays.scripted import ScriptedRelay, scripted

T = TypeVar("T")

NOW = 1_790_000_000


def some_events(count: int, name: str = "") -> list[Event]:
    return [signed(NOW + number * 10, content=f"{name} {number}") for number in range(count)]


def dead_url() -> str:
    """The URL of a relay that refuses connections."""
    return f"ws://127.0.0.1:{free_port()}"


def aged(cursor: str | None, seconds: int) -> str:
    """The cursor of a sensor of `refreshes` whose last look was so long ago."""
    last = LastLook.parse(cursor)
    return str(replace(last, at=last.at - seconds))


class Relays:
    """Scripted relays in an event loop of their own, for tests that block."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def serve(self, events: Iterable[Event], **options: Any) -> ScriptedRelay:
        return self.enter(scripted(list(events), **options))

    def enter(self, server: AbstractAsyncContextManager[T]) -> T:
        """Run another server in the same event loop, as long as the relays."""
        return self.run(self._stack.enter_async_context(server))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something else in that event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@dataclass(frozen=True)
class Graph:
    """The definitions on one Dagster instance and one archive."""

    instance: dg.DagsterInstance
    database: str
    resources: Mapping[str, Any] = field(default_factory=lambda: defs.resources or {})

    def register(self, *urls: str) -> None:
        """Make these relays the registry, and their partitions the partitions."""
        remove_relays(self.database, [relay.url for relay in registered_relays(self.database)])
        register_relays(self.database, urls)
        follow_registry(self.instance, self.database, load_config())

    def sync(
        self, *urls: str, partition: str | None = None, tags: Mapping[str, str] | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """Run the job as the schedule does (`urls`), or for one partition, or for the range in `tags`."""
        return defs.resolve_job_def("relay_sync").execute_in_process(
            instance=self.instance,
            run_config={"ops": {"relay_cursor": {"config": {"relays": list(urls)} | config}}},
            partition_key=partition,
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def materializations(self, run: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
        """The metadata that a run left, by partition."""
        events = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = [event.asset_materialization for event in events]
        return {
            str(one.partition): {key: value.value for key, value in one.metadata.items()} for one in found if one
        }

    def checks(self, run: dg.ExecuteInProcessResult, name: str) -> dict[str | None, dg.AssetCheckEvaluation]:
        """A run's evaluations of a check, by partition."""
        events = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [event.get_dagster_event().asset_check_evaluation_data for event in events]
        return {one.partition: one for one in found if one.check_name == name}

    def statuses(self, *urls: str) -> list[AssetPartitionStatus | None]:
        """What the UI shows for partitions; None is never materialized."""
        statuses = self.instance.get_status_by_partition(RELAY_CURSOR, list(urls), RELAY_PARTITIONS)
        return [(statuses or {}).get(url) for url in urls]

    def stale(self, key: dg.AssetKey, partition: str | None = None) -> tuple[str, list[str]]:
        """What the UI says of an asset, or of one partition: FRESH, STALE ("Unsynced") or MISSING, and why."""
        loading = LoadingContextForTest(self.instance)
        resolver = CachingStaleStatusResolver(self.instance, defs.resolve_asset_graph(), loading)
        causes = resolver.get_stale_causes(key, partition)
        return resolver.get_status(key, partition).value, [cause.reason for cause in causes]

    @contextmanager
    def tick(self, sensor: dg.SensorDefinition) -> Iterator[dg.SensorEvaluationContext]:
        with dg.build_sensor_context(
            instance=self.instance, resources=dict(self.resources), definitions=defs, sensor_name=sensor.name
        ) as context:
            yield context
