"""What the registry was when Dagster's partitions were last made equal to it. Blocking.

Registry and partitions are changed by different people: `relays remove` takes a relay off the one, the UI adds a
key to the other. Only with a note of what both were before can be told which of them changed.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bigbrotr_dagster.archive.registry.relays import RegisteredRelay, add_relays, take_off
from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url
from bigbrotr_dagster.storage.locks import lock_key
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect


class PartitionNotes:
    """Open it with `partition_notes`."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection

    def note(self) -> set[str]:
        """Note every registered relay as a partition; returns those that were not. These change the stamp."""
        with self._connection.transaction():
            new = {key for (key,) in self._connection.execute(query("note_partitions"))}
            if new:
                self.renew_stamp()
        return new

    def stamp(self) -> str:
        """What a Dagster instance knows that has a partition for each note, unless somebody deleted it there."""
        row = self._connection.execute(query("partition_stamp")).fetchone()
        return str(row[0]) if row else ""

    def renew_stamp(self) -> str:
        """Draw another one, before partitions are changed: whoever dies in between has deleted nothing."""
        row = self._connection.execute(query("renew_partition_stamp")).fetchone()
        return str(row[0]) if row else ""

    def relays(self) -> list[RegisteredRelay]:
        """The registered relays that are noted, in order of their URLs."""
        return [RegisteredRelay(*row) for row in self._connection.execute(query("partitioned_relays"))]

    def noted(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that were partitions of registered relays."""
        rows = self._connection.execute(query("noted_partitions"), {"keys": list(keys)})
        return {key for (key,) in rows}

    def register(self, relays: Iterable[RelayURL]) -> set[str]:
        """Register relays; returns what `note` does: some may have been registered by others meanwhile."""
        add_relays(self._connection, relays)
        return self.note()

    def unregister(self, urls: Iterable[str]) -> None:
        """Take relays off the registry, as `remove_relays` does. Their notes stay."""
        take_off(self._connection, [parse_relay_url(url) for url in urls])

    def forget_lost(self, partitions: Iterable[str]) -> None:
        """Forget what is neither registered nor among Dagster's partitions: its remover died before he could."""
        rows = self._connection.execute(query("unregistered_partitions"))
        if lost := {key for (key,) in rows}.difference(partitions):
            self.forget(lost)

    def forget(self, keys: Iterable[str]) -> None:
        """These are partitions no more."""
        self._connection.execute(query("forget_partitions"), {"keys": list(keys)})


@contextmanager
def partition_notes(url: str) -> Iterator[PartitionNotes]:
    """The notes, for one process at a time.

    Raises:
        DatabaseUnavailable: the server does not answer, or another process keeps the notes for a minute.
    """
    with connect(url) as connection:
        connection.execute(query("end_waiting_after_a_minute"))
        connection.execute(query("wait_for_lock"), {"key": lock_key("partitions", "relay")})
        yield PartitionNotes(connection)  # the lock ends with the connection
