"""Whose turn it is to be synced, who has had it, and how they fared.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bigbrotr_dagster.archive.registry import RegisteredRelay
from bigbrotr_dagster.archive.stats import looking
from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks, run_network
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect


@dataclass(frozen=True, slots=True)
class NetworkLag:
    """Seconds that the cursors of a network are behind; None where no relay has one. `without`: have none."""

    network: str
    relays: int
    without: int
    median: float | None
    slowest: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Registered relays; syncs that ended well, and badly; events that were ever stored. Cheap to ask."""

    relays: int
    synced: int
    failed: int
    events: int


def due_relays(
    database_url: str,
    config: SynchronizerConfig,
    *,
    interval: float | None = None,
    limit_per_network: int | None = None,
) -> dict[str, list[str]]:
    """Relays not attempted for `interval` seconds (default: the configured one), by the network they run under.

    Who has waited longest comes first; of those whose wait began in the same second the most behind.
    """
    since = config.interval if interval is None else interval
    values = {"networks": reachable_networks(config), "interval": since}
    with connect(database_url) as connection:
        due = [RegisteredRelay(*row) for row in connection.execute(query("due_relays"), values)]
    return {network: urls[:limit_per_network] for network, urls in _grouped(due).items()}


def unattempted_relays(database_url: str, config: SynchronizerConfig) -> dict[str, list[str]]:
    """Relays that were never tried, by the network they run under."""
    values = {"networks": reachable_networks(config)}
    with connect(database_url) as connection:
        return _grouped(RegisteredRelay(*row) for row in connection.execute(query("unattempted_relays"), values))


def went_well(database_url: str, urls: Sequence[str]) -> set[str]:
    """Those of the relays whose last sync succeeded."""
    with connect(database_url) as connection:
        return {url for (url,) in connection.execute(query("went_well"), {"urls": list(urls)})}


def finished_since(database_url: str, since: Mapping[str, datetime]) -> set[str]:
    """Those of the relays whose last attempt began after the given time, and has ended."""
    values = {"urls": list(since), "since": list(since.values())}
    with connect(database_url) as connection:
        return {url for (url,) in connection.execute(query("finished_since"), values)}


def _grouped(relays: Iterable[RegisteredRelay]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for relay in relays:
        grouped[run_network(relay.network)].append(relay.url)
    return dict(grouped)


def lag_by_network(database_url: str, config: SynchronizerConfig) -> list[NetworkLag]:
    """How far behind the relays are whose last sync succeeded."""
    with looking(database_url) as connection:
        rows = connection.execute(query("lag_by_network"), {"networks": reachable_networks(config)})
        return [NetworkLag(*row) for row in rows]


def failing_relays(database_url: str, config: SynchronizerConfig) -> tuple[int, int]:
    """How many relays were tried, and how many of them failed the last time."""
    with looking(database_url) as connection:
        row = connection.execute(query("failing_relays"), {"networks": reachable_networks(config)}).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)


def standing(database_url: str) -> Standing:
    """The numbers of now; the difference of two looks is what was done meanwhile."""
    with looking(database_url) as connection:
        row = connection.execute(query("standing")).fetchone()
        return Standing(*map(int, row or (0,) * 4))
