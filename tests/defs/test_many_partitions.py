"""The sensor and the schedule with 10,000 relays; a module of its own, for taking them away again is slow."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import relay_partitions, relay_sync_schedule
from tests.defs.helpers import Graph
from tests.machine import within
from tests.sync.helpers import ask

pytestmark = pytest.mark.slow

COUNT = 10_000
MOST_SECONDS = 5


def sizes(requests: list[dg.RunRequest]) -> list[int]:
    return [len(request.run_config["ops"]["relay_cursor"]["config"]["relays"]) for request in requests]


def test_ten_thousand_relays_become_partitions_and_batches_within_seconds(graph: Graph) -> None:
    graph.register()  # Dagster makes its tables when they are first used
    register_relays(graph.database, [f"wss://relay-{number}.example.com" for number in range(COUNT)])
    given = {"instance": graph.instance, "resources": graph.resources}
    with dg.build_sensor_context(definitions=defs, **given) as context, within(MOST_SECONDS):
        result = relay_partitions.evaluate_tick(context)
    assert len(graph.instance.get_dynamic_partitions("relay")) == COUNT
    assert sizes(list(result.run_requests or [])) == [COUNT // 2] * 2
    ask(graph.database, "WITH old AS (UPDATE relay SET discovered_at = discovered_at - 3600) SELECT 1")
    with (
        dg.build_schedule_context(
            instance=graph.instance,
            scheduled_execution_time=datetime(2026, 11, 21, tzinfo=UTC),
            resources=graph.resources,
        ) as tick,
        within(MOST_SECONDS),
    ):
        due = relay_sync_schedule.evaluate_tick(tick)
    assert sizes(list(due.run_requests or [])) == [COUNT // 2] * 2
