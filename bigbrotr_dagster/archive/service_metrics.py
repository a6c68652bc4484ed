"""The metrics of BigBrotr's Synchronizer under their own names, beside ours: its dashboards go on working.

Names, labels and types are those that BigBrotr 6.6.9 exports, and those of its documents. A cycle is one run's
sync of its relays: of all relays for `sync`, of a network's for a scheduled run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.locks import run_key

SERVICE = "synchronizer"

Ask = Callable[..., list[TupleRow]]
"""Asks a named query, with values, and returns its rows."""

COUNTED = {
    "events_collected": ("events_new",),
    "relays_synced": ("attempts:ok", "attempts:failed"),
    "total_sync_failures": ("attempts:failed",),
}
"""`name` of a `service_counter`, and the names in `sync_total` that it is the sum of."""


@dataclass(frozen=True, slots=True)
class CycleFigures:
    """All cycles that ended, and the relays of those under way, or of the last one where none is.

    `buckets`: how many took at most so many seconds, ascending. `last_end` is Unix time; None where none ended.
    """

    ok: float
    stopped: float
    seconds: float
    buckets: Sequence[tuple[float, float]]
    last_end: float | None
    relays: float
    relays_seen: float
    events_seen: float


def read_cycles(ask: Ask) -> CycleFigures:
    """Ask for the cycles. One whose process died is not under way: nobody holds its run's lock.

    Raises:
        psycopg.Error: the database did not answer.
    """
    [(ok, stopped, seconds, bounds, buckets, last_end)] = ask("metrics_cycles")
    keys = {run_key(run_id): run_id for (run_id,) in ask("metrics_open_cycles")}
    under_way = [keys[key] for (key,) in ask("held_locks", {"keys": list(keys)})]
    [relays] = ask("metrics_relays_of_cycles", {"run_ids": under_way})
    pairs = [(bound, float(count)) for bound, count in zip(bounds, buckets, strict=True)]
    return CycleFigures(ok, stopped, seconds, pairs, last_end, *relays)


def service_metrics(totals: Mapping[tuple[str, str], float], cycles: CycleFigures) -> Iterator[Metric]:
    """BigBrotr's names; `totals` goes by network and name (`sync_total`)."""
    yield InfoMetricFamily("service", "The service whose metrics these are.", value={"service": SERVICE})
    counters = CounterMetricFamily("service_counter", "Totals by BigBrotr's names.", labels=["service", "name"])
    for name, parts in COUNTED.items():
        counters.add_metric([SERVICE, name], sum(value for (_, part), value in totals.items() if part in parts))
    counters.add_metric([SERVICE, "cycles_success"], cycles.ok)
    counters.add_metric([SERVICE, "cycles_failed"], cycles.stopped)
    yield counters
    gauges = GaugeMetricFamily(
        "service_gauge",
        "The cycles under way, else the last one: their relays, those that are done, the events that these sent.",
        labels=["service", "name"],
    )
    known: dict[str, Any] = {
        "total_relays": cycles.relays,
        "relays_seen": cycles.relays_seen,
        "events_seen": cycles.events_seen,
        "last_cycle_timestamp": cycles.last_end,
    }
    for name, value in known.items():
        if value is not None:
            gauges.add_metric([SERVICE, name], value)
    yield gauges
    ended = cycles.ok + cycles.stopped
    durations = HistogramMetricFamily(
        "cycle_duration_seconds", "Seconds that cycles took which have ended.", labels=["service"]
    )
    buckets = [(f"{bound:.1f}", count) for bound, count in cycles.buckets]
    durations.add_metric([SERVICE], [*buckets, ("+Inf", ended)], cycles.seconds)
    yield durations
