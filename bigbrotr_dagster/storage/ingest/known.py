"""What this process knows to be stored: the numbers of events and relays, so that the database need not be asked.

Relays are read side by side and hold mostly the same events, so most arrivals were stored a moment ago.

An entry is put in only once the transaction that stored it is over, and is good for as long as that session of the
server lives. Commits do not wait for the disk: a server that crashes may forget the last of them and give their
numbers to other events. So whoever loses a session calls `forget`, and a batch prepared before is prepared again.
"""

from collections.abc import Iterable

MOST_EVENTS = 131_072
"""Events that are remembered: about 30 MB."""


class Known:
    """The numbers of the events that were met lately, by id, and of relays, by URL."""

    def __init__(self, most: int = MOST_EVENTS) -> None:
        self.epoch = 0
        self._most = most
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._relays: dict[str, int] = {}

    def events(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of those that are remembered; they are remembered for longer now."""
        found = {}
        for id in ids:
            seq = self._young.get(id)
            if seq is None:
                seq = self._old.get(id)
                if seq is None:
                    continue
                self._remember(id, seq)
            found[id] = seq
        return found

    def relays(self, urls: Iterable[str]) -> dict[str, int]:
        """The ids of those of these relays that are known, by URL."""
        return {url: self._relays[url] for url in urls if url in self._relays}

    def add(self, epoch: int, events: dict[str, int], relays: dict[str, int] | None = None) -> None:
        """Remember what is stored, unless a session was lost since `epoch`."""
        if epoch != self.epoch:
            return
        for id, seq in events.items():
            self._remember(id, seq)
        self._relays.update(relays or {})

    def forget(self) -> None:
        """Forget everything: the server may have, too."""
        self.epoch += 1
        self._young, self._old, self._relays = {}, {}, {}

    def _remember(self, id: str, seq: int) -> None:
        """Two generations: the old one is dropped when the young one is full."""
        if len(self._young) >= self._most // 2:
            self._young, self._old = {}, self._young
        self._young[id] = seq
