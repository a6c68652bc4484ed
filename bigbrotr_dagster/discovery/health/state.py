"""What is known of relays' health, and whose turn it is: short questions to the database. Blocking.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks, run_network
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect


@dataclass(frozen=True, slots=True)
class KnownHealth:
    """The last check of a registered relay; all but its name is None where there was none. Times: Unix seconds."""

    url: str
    network: str
    checked_at: int | None
    alive: bool | None
    alive_at: int | None
    dead_since: int | None
    certificate_expires_at: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class NetworkHealth:
    """Registered relays of a network: `checked`, of these `alive`, and dead for so long that it counts."""

    network: str
    checked: int
    alive: int
    dead_long: int


@dataclass(frozen=True, slots=True)
class HealthOfAll:
    """Registered relays that were checked, that are dead for `dead_days`, that have a certificate.

    `expiring`: it ends within `certificate_days`.
    """

    checked: int
    dead_long: int
    with_certificate: int
    expiring: int


def known_health(database_url: str, urls: Sequence[str] | None = None) -> list[KnownHealth]:
    """How these relays, or all that are registered, were at their last check; in order of the URLs."""
    values = {"urls": None if urls is None else list(urls)}
    with connect(database_url) as connection:
        return [KnownHealth(*row) for row in connection.execute(query("known_health"), values)]


def relays_due(
    database_url: str, config: SynchronizerConfig, *, interval: float | None = None
) -> dict[str, list[str]]:
    """Relays not checked for `interval` seconds (default: the configured one), most overdue first.

    By the network that they run under. What is no URL of a relay (other programs may have registered it) never is.
    """
    since = config.monitor.interval if interval is None else interval
    due: dict[str, list[str]] = defaultdict(list)
    with connect(database_url) as connection:
        values = {"networks": reachable_networks(config), "interval": since}
        for url, network in connection.execute(query("relays_due_for_health"), values):
            if _is_relay(url):
                due[run_network(network)].append(url)
    return dict(due)


def _is_relay(url: str) -> bool:
    try:
        parse_relay_url(url)
    except InvalidRelayURL:
        return False
    return True


def network_health(database_url: str, config: SynchronizerConfig) -> list[NetworkHealth]:
    """How many relays of each network are alive, and how many dead for `dead_days`."""
    with connect(database_url) as connection:
        values = {"days": config.monitor.dead_days}
        return [NetworkHealth(*row) for row in connection.execute(query("alive_by_network"), values)]


def health_of_all(database_url: str, config: SynchronizerConfig) -> HealthOfAll:
    """How many relays are dead for `dead_days`, and how many certificates end within `certificate_days`."""
    values = {"dead_days": config.monitor.dead_days, "certificate_days": config.monitor.certificate_days}
    with connect(database_url) as connection:
        row = connection.execute(query("health_of_all"), values).fetchone()
        return HealthOfAll(*row) if row else HealthOfAll(0, 0, 0, 0)


def checked_since(database_url: str, since: Mapping[str, datetime]) -> set[str]:
    """Those of the relays that were checked after the given time."""
    values = {"urls": list(since), "since": list(since.values())}
    with connect(database_url) as connection:
        return {url for (url,) in connection.execute(query("checked_since"), values)}
