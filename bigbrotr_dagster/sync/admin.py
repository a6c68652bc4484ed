"""Short blocking work on the archive's database, for the Dagster graph and the command line.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources

from bigbrotr_dagster.nostr.relay_url import Network, parse_relay_url
from bigbrotr_dagster.storage import registry
from bigbrotr_dagster.storage.pool import connect
from bigbrotr_dagster.storage.registry import RegisteredRelay, RelayState
from bigbrotr_dagster.sync.config import SynchronizerConfig, run_network


def seed_relays() -> list[str]:
    """The well-known public relays that a new archive starts with."""
    text = resources.files("bigbrotr_dagster.sync").joinpath("seed_relays.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def register_relays(database_url: str, urls: Iterable[str]) -> int:
    """Register relays; returns how many are new.

    Raises:
        InvalidRelayURL: one of them is not a relay URL; nothing is registered then.
    """
    relays = [parse_relay_url(url) for url in urls]
    with connect(database_url) as connection:
        return registry.add_relays(connection, relays)


def remove_relays(database_url: str, urls: Iterable[str]) -> int:
    """Take relays off the registry; their events stay. Returns how many were registered."""
    with connect(database_url) as connection:
        return registry.remove_relays(connection, [parse_relay_url(url).url for url in urls])


def registered_relays(database_url: str) -> list[RegisteredRelay]:
    with connect(database_url) as connection:
        return registry.list_relays(connection)


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
    with connect(database_url) as connection:
        due = registry.due_relays(connection, reachable_networks(config), since)
    return {network: urls[:limit_per_network] for network, urls in _grouped(due).items()}


def unattempted_relays(database_url: str, config: SynchronizerConfig) -> dict[str, list[str]]:
    """Relays that were never tried, by the network they run under."""
    with connect(database_url) as connection:
        return _grouped(registry.unattempted_relays(connection, reachable_networks(config)))


def went_well(database_url: str, urls: Sequence[str]) -> set[str]:
    """Those of the relays whose last sync succeeded."""
    with connect(database_url) as connection:
        return registry.went_well(connection, urls)


def removed_relays(database_url: str, urls: Sequence[str]) -> set[str]:
    """Those of the relays that were registered, and are not any more."""
    with connect(database_url) as connection:
        return registry.removed_relays(connection, urls)


def finished_since(database_url: str, since: Mapping[str, datetime]) -> set[str]:
    """Those of the relays whose last attempt began after the given time, and has ended."""
    with connect(database_url) as connection:
        return set(registry.finished_since(connection, since))


def relay_states(database_url: str, url: str | None = None) -> list[RelayState]:
    """The state of every relay, or of one."""
    with connect(database_url) as connection:
        return registry.relay_states(connection, parse_relay_url(url).url if url else None)


def delete_stale_cursors(database_url: str) -> int:
    """Delete the state of relays that are no longer registered; returns the cursors deleted."""
    with connect(database_url) as connection:
        return registry.delete_stale_cursors(connection)


def cursors_beyond_coverage(database_url: str, urls: Sequence[str] | None = None) -> list[str]:
    """Relays whose cursor claims what is neither covered nor a named gap. There must be none."""
    with connect(database_url) as connection:
        return registry.cursors_beyond_coverage(connection, urls)


def reachable_networks(config: SynchronizerConfig) -> list[str]:
    """The values of `relay.network` that the configuration lets us reach."""
    return config.networks.enabled() + ([Network.LOCAL.value] if config.allow_private else [])


def _grouped(relays: Iterable[RegisteredRelay]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for relay in relays:
        grouped[run_network(relay.network)].append(relay.url)
    return dict(grouped)
