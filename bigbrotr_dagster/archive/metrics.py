"""The archive as Prometheus metrics, asked of the database when they are scraped.

Gauges are what is so now. Counters are the totals of finished attempts, kept by the database: they survive a
restart of this program, and grow whichever process syncs.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import TupleRow

from bigbrotr_dagster import __version__
from bigbrotr_dagster.archive.service_metrics import CycleFigures, read_cycles, service_metrics
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""Scrapes that come within this time of each other share one answer, so that none can burden the database."""

CONNECT_SECONDS = 3
QUERY_SECONDS = 5.0
"""For all queries together: with the above less than the ten seconds that Prometheus waits by default."""

COUNTERS = (
    ("events_received", "bigbrotr_events_received", "Events that relays sent."),
    ("events_new", "bigbrotr_events_new", "Events that were stored."),
    ("events_known", "bigbrotr_events_known", "Events that were in the archive already."),
    ("events_claimed", "bigbrotr_events_claimed", "Of these, events that relays say they hold, and did not send."),
    ("events_gone", "bigbrotr_events_gone", "Events that relays were seen with, and hold no more."),
    ("late_events", "bigbrotr_events_late", "New observations in seconds that had been proved complete before."),
    ("observations_new", "bigbrotr_observations_new", "Events seen at a relay for the first time."),
    ("requests", "bigbrotr_requests", "Requests sent to relays."),
    ("bytes_received", "bigbrotr_received_bytes", "Bytes that relays sent."),
)
"""Name in `sync_total`, name of the metric without `_total`, and what it counts."""


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """The relays of one network. `lag` is that of the cursors in seconds; None where there is none."""

    network: str
    failed: int
    ok: int
    never_tried: int
    waiting: int
    without_cursor: int
    max_lag: float | None
    median_lag: float | None
    last_success: float | None


@dataclass(frozen=True, slots=True)
class GapFigures:
    reason: str
    gaps: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TableFigures:
    table: str
    rows: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The archive at one moment. `quarantined` goes by reason, `totals` by network and name (`sync_total`)."""

    networks: Sequence[NetworkFigures]
    gaps: Sequence[GapFigures]
    quarantined: dict[str, float]
    tables: Sequence[TableFigures]
    totals: dict[tuple[str, str], float]
    cycles: CycleFigures


class ArchiveCollector(Collector):
    """Asks the database at each scrape; while that is away, says no more than so."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._one_at_a_time = threading.Lock()
        self._figures: Figures | None = None
        self._asked_at = float("-inf")
        self._trouble: str | None = None

    def collect(self) -> Iterator[Metric]:
        """The figures of one scrape; prometheus_client calls this."""
        figures = self._current()
        build = GaugeMetricFamily("bigbrotr_build_info", "The program that answers.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        up = 0 if figures is None else 1
        yield GaugeMetricFamily("bigbrotr_database_up", "Whether the database answers (1) or not (0).", value=up)
        if figures is not None:
            yield from _of_relays(figures.networks)
            yield from _of_gaps(figures.gaps)
            help_text = "Rejected events that are kept aside; at most 100,000 of a reason are counted."
            yield _gauge("bigbrotr_quarantined_events", help_text, ["reason"], figures.quarantined.items())
            yield from _of_tables(figures.tables)
            yield from _of_attempts(figures.totals)
            yield from service_metrics(figures.totals, figures.cycles)

    def _current(self) -> Figures | None:
        with self._one_at_a_time:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._figures, trouble = None, None
                try:
                    self._figures = read_figures(self._url)
                except DatabaseUnavailable as error:
                    trouble = str(error)
                self._tell(trouble)
                self._asked_at = time.monotonic()
            return self._figures

    def _tell(self, trouble: str | None) -> None:
        """Say what changes, once."""
        if trouble != self._trouble:
            event = "database_unavailable" if trouble else "database_back"
            log.warning(trouble or "the database answers again", extra={"event": event, "fields": {}})
        self._trouble = trouble


def archive_metrics(database_url: str) -> CollectorRegistry:
    """A registry of the archive's metrics only."""
    registry = CollectorRegistry()
    registry.register(ArchiveCollector(database_url))
    return registry


def _of_relays(networks: Sequence[NetworkFigures]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "bigbrotr_relays",
        "Registered relays: ok or failed by their last sync, never_tried before the first one ends.",
        labels=["network", "state"],
    )
    for one in networks:
        for state, count in (("ok", one.ok), ("failed", one.failed), ("never_tried", one.never_tried)):
            states.add_metric([one.network, state], count)
    yield states
    for name, help_text, attribute in (
        ("relays_waiting", "Relays that failed and are left alone until their next try.", "waiting"),
        ("relays_without_cursor", "Relays of whose oldest seconds nothing is proved yet.", "without_cursor"),
        ("lag_max_seconds", "Age of the cursor of the relay most behind.", "max_lag"),
        ("lag_median_seconds", "Age of the cursors of relays, the median.", "median_lag"),
        ("last_success_timestamp_seconds", "When a sync last succeeded (Unix time).", "last_success"),
    ):
        values = [(one.network, getattr(one, attribute)) for one in networks]
        known = [(network, value) for network, value in values if value is not None]
        yield _gauge(f"bigbrotr_{name}", help_text, ["network"], known)


def _of_gaps(gaps: Sequence[GapFigures]) -> Iterator[Metric]:
    pairs = [(gap.reason, gap.gaps) for gap in gaps]
    yield _gauge("bigbrotr_gaps", "Open gaps: stretches that could not be proved complete.", ["reason"], pairs)
    pairs = [(gap.reason, gap.seconds) for gap in gaps]
    yield _gauge("bigbrotr_gap_seconds", "Seconds in open gaps, over all relays and filters.", ["reason"], pairs)


def _of_tables(tables: Sequence[TableFigures]) -> Iterator[Metric]:
    pairs = [(one.table, one.rows) for one in tables]
    yield _gauge("bigbrotr_table_rows", "Rows by PostgreSQL's statistics: an estimate.", ["table"], pairs)
    pairs = [(one.table, one.bytes) for one in tables]
    yield _gauge("bigbrotr_table_size_bytes", "Bytes on disk, with indexes.", ["table"], pairs)


def _of_attempts(totals: dict[tuple[str, str], float]) -> Iterator[Metric]:
    """The counters, of finished attempts, by the network of the relay."""
    for key, name, help_text in COUNTERS:
        counter = CounterMetricFamily(name, help_text, labels=["network"])
        for (network, counted), value in totals.items():
            if counted == key:
                counter.add_metric([network], value)
        yield counter
    for prefix, name, label, help_text in (
        ("attempts", "bigbrotr_syncs", "outcome", "Syncs of a relay that ended."),
        ("rejected", "bigbrotr_events_rejected", "reason", "Events that were not stored."),
        ("late", "bigbrotr_events_late_by_age", "age", "Late events, by their age when they were found, at most."),
    ):
        counter = CounterMetricFamily(name, help_text, labels=["network", label])
        for (network, counted), value in totals.items():
            if counted.startswith(f"{prefix}:"):
                counter.add_metric([network, counted.partition(":")[2]], value)
        yield counter


def _gauge(
    name: str, help_text: str, labels: Sequence[str], values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, help_text, labels=labels)
    for label, value in values:
        gauge.add_metric([label], value)
    return gauge


def read_figures(database_url: str) -> Figures:
    """Ask for everything.

    Raises:
        DatabaseUnavailable: the database does not answer in time, refuses, or does not have our tables.
    """
    deadline = time.monotonic() + CONNECT_SECONDS + QUERY_SECONDS
    silence = int(1000 * QUERY_SECONDS)
    with connect(database_url, connect_timeout=CONNECT_SECONDS, tcp_user_timeout=silence) as connection:

        def ask(name: str, values: Mapping[str, object] | None = None) -> list[TupleRow]:
            left = max(1, int(1000 * (deadline - time.monotonic())))
            connection.execute(query("end_session_statements_after"), {"milliseconds": str(left)})
            return connection.execute(query(name), values).fetchall()

        networks, gaps, quarantined = ask("metrics_relays"), ask("metrics_gaps"), ask("metrics_quarantine")
        tables, totals, cycles = ask("metrics_tables"), ask("metrics_totals"), read_cycles(ask)
    return Figures(
        networks=[NetworkFigures(*row) for row in networks],
        gaps=[GapFigures(*row) for row in gaps],
        quarantined=dict(quarantined),
        tables=[TableFigures(*row) for row in tables],
        totals={(network, name): value for network, name, value in totals},
        cycles=cycles,
    )
