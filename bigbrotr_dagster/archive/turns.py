"""Whose turn it is to be synced, and who has had it.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from bigbrotr_dagster.archive.registry import RegisteredRelay
from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks, run_network
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect


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
