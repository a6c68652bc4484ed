"""Which relays are archived.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect


@dataclass(frozen=True, slots=True)
class RegisteredRelay:
    """A row of the registry; `network` is a `Network`'s value."""

    url: str
    network: str


def seed_relays() -> list[str]:
    """The well-known public relays that a new archive starts with."""
    text = (
        resources.files("bigbrotr_dagster.archive.registry")
        .joinpath("seed_relays.txt")
        .read_text(encoding="utf-8")
    )
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def register_relays(database_url: str, urls: Iterable[str]) -> int:
    """Register relays; returns how many are new.

    Raises:
        InvalidRelayURL: one of them is not a relay URL; nothing is registered then.
    """
    relays = [parse_relay_url(url) for url in urls]
    with connect(database_url) as connection:
        return add_relays(connection, relays)


def add_relays(connection: BlockingConnection, relays: Iterable[RelayURL]) -> int:
    """Register relays on an open session; returns how many were not registered before.

    Raises:
        psycopg.Error: the database did not answer.
    """
    given = list(relays)
    values = {"urls": [relay.url for relay in given], "networks": [relay.network.value for relay in given]}
    return connection.execute(query("add_relays"), values).rowcount


def remove_relays(database_url: str, urls: Iterable[str]) -> int:
    """Take relays off the registry; their events stay, and discovery does not bring them back.

    Returns how many were registered.

    Raises:
        InvalidRelayURL: one of them is not a relay URL; nothing is removed then.
    """
    relays = [parse_relay_url(url) for url in urls]
    with connect(database_url) as connection:
        return take_off(connection, relays)


def take_off(connection: BlockingConnection, relays: Sequence[RelayURL]) -> int:
    """`remove_relays` on an open session.

    Raises:
        psycopg.Error: the database did not answer.
    """
    values = {
        "urls": [relay.url for relay in relays],
        "networks": [relay.network.value for relay in relays],
        "hosts": [relay.host for relay in relays],
    }
    with connection.transaction():
        connection.execute(query("unwanted_candidates"), values)
        return connection.execute(query("remove_relays"), values).rowcount


def registered_relays(database_url: str) -> list[RegisteredRelay]:
    """Every registered relay, in order of the URLs."""
    with connect(database_url) as connection:
        return [RegisteredRelay(*row) for row in connection.execute(query("list_relays"))]


def removed_relays(database_url: str, urls: Sequence[str]) -> set[str]:
    """Those of the relays that were registered, and are not any more."""
    with connect(database_url) as connection:
        return {url for (url,) in connection.execute(query("removed_relays"), {"urls": list(urls)})}


def delete_stale_cursors(database_url: str, *, attempts_days: int = 7) -> int:
    """Delete the state of relays that are no longer registered; returns the cursors deleted.

    Attempts older than `attempts_days` go as well, but for each relay's last.
    """
    with connect(database_url) as connection:
        connection.execute(query("prune_attempts"), {"days": attempts_days})
        row = connection.execute(query("delete_stale_cursors")).fetchone()
        return row[0] if row else 0
