"""Runs and ticks that write days: of the asset `event_day`, and of its sensor."""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.data_sets import export_days_sensor
from bigbrotr_dagster.defs.data_sets.assets import DAYS as PARTITIONS
from bigbrotr_dagster.defs.data_sets.records import EVENT_DAY
from tests.archive.exported import DAY, DAYS, FIRST, put_events, see
from tests.defs.helpers import Graph

ONE = "wss://one.example.com"


def export_run(
    graph: Graph, days: Sequence[str] = (), partition: str | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    """Without days, partition and range it is one of those that compare all days."""
    given = {"days": list(days)} if days else {} if partition or tags else {"all_due": True}
    if not any("range" in name for name in tags):
        partition = partition or DAYS[0]
    config = {"ops": {"event_day": {"config": given}}}
    return defs.resolve_job_def("export_days").execute_in_process(
        instance=graph.instance,
        run_config=config,
        partition_key=partition,
        tags={f"dagster/{name}": value for name, value in tags.items()},
        raise_on_error=False,
    )


def all_three(graph: Graph) -> dg.ExecuteInProcessResult:
    """As a backfill of them is executed."""
    tags = {"asset_partition_range_start": DAYS[0], "asset_partition_range_end": DAYS[-1]}
    return export_run(graph, **tags)


def statuses(graph: Graph) -> list[AssetPartitionStatus | None]:
    found = graph.instance.get_status_by_partition(EVENT_DAY, list(DAYS), PARTITIONS) or {}
    return [found.get(day) for day in DAYS]


def said(run: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in run.all_events if event.is_step_failure]
    told = event.step_failure_data.user_failure_data
    assert told is not None
    return str(told.description)


def late_events(graph: Graph, day: int = 1) -> None:
    tags: list[list[str | None]] = [["e", "f" * 64, "", "reply"], ["t", 'quotes " and \\'], []]
    ids = put_events(graph.database, [(FIRST + day * DAY + 77, "late 🤙 \n", tags)])
    see(graph.database, ids, ONE, int(time.time()))


def of_days(*days: str) -> list[dict[str, Any]]:
    return [{"ops": {"event_day": {"config": {"days": list(days)}}}}]


COMPARE = [{"ops": {"event_day": {"config": {"all_due": True}}}}]
"""A run that compares all days."""


class Sensor:
    """The sensor, tick after tick, each as long after the one before as it asks for."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.cursor = graph, ""

    def tick(self, is_time: bool = True) -> Any:
        last, following, compared = (int(word) for word in (self.cursor or "0 0 0").split())
        self.cursor = f"{last} {0 if is_time else following} {compared}"
        with dg.build_sensor_context(
            instance=self.graph.instance,
            resources=dict(self.graph.resources),
            definitions=defs,
            sensor_name=export_days_sensor.name,
            cursor=self.cursor,
        ) as context:
            result = export_days_sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        for told in result.asset_events:
            self.graph.instance.report_runless_asset_event(told)
        return result

    def requests(self) -> list[dict[str, Any]]:
        return [dict(one.run_config) for one in self.tick().run_requests or []]
