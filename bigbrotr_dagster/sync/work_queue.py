"""What a cycle has to do: the relays of each network, in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from bigbrotr_dagster.config import SynchronizerConfig, run_network
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, Network, RelayURL, parse_relay_url
from bigbrotr_dagster.sync.places import host_place


@dataclass(slots=True)
class RelayQueue:
    """A network's relays that are left.

    Those whose host, or address, has no room wait in its line, and are called one by one; those that another
    process was syncing come once more, last.
    """

    untried: deque[RelayURL] = field(default_factory=deque)
    busy: deque[RelayURL] = field(default_factory=deque)
    idle: int = 0
    """Workers that wait for room."""
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is nothing left that they could wait for."""
    _called: deque[RelayURL] = field(default_factory=deque)
    _lines: dict[str, deque[RelayURL]] = field(default_factory=dict)  # by place

    def __bool__(self) -> bool:
        return self.is_ready or bool(self._lines)

    def __iter__(self) -> Iterator[RelayURL]:
        return chain(self._called, self.untried, self.busy, *self._lines.values())

    @property
    def is_ready(self) -> bool:
        """Whether there is a relay that may be tried now."""
        return bool(self._called or self.untried or self.busy)

    def next(self) -> tuple[RelayURL, bool] | None:
        """The next relay, and whether it comes once more; None where all the others have to wait for room."""
        found = self._pop()
        if not self:
            self.emptied.set()
        return found

    def _pop(self) -> tuple[RelayURL, bool] | None:
        if self._called:
            return self._called.popleft(), False
        while self.untried:
            relay = self.untried.popleft()
            line = self._lines.get(host_place(relay))
            if line is None:
                return relay, False
            line.append(relay)
        return (self.busy.popleft(), True) if self.busy else None

    def wait_at(self, place: str, relay: RelayURL) -> None:
        """There is no room at this place: the relay is the first of its line."""
        self._lines.setdefault(place, deque()).appendleft(relay)

    def call(self, places: Iterable[str] | None = None) -> None:
        """There may be room at these places (None: at any): the first of each line may try."""
        for place in [*self._lines] if places is None else places:
            line = self._lines.get(place)
            if line is not None:
                self._called.append(line.popleft())
                if not line:
                    del self._lines[place]


class Refused(NamedTuple):
    """A relay that cannot be tried: `skipped` where only the configuration does not let us."""

    url: str
    network: str
    problem: str
    skipped: bool


def by_network(
    urls: Iterable[str], config: SynchronizerConfig, refuse: Callable[[Refused], None]
) -> dict[str, RelayQueue]:
    """The relays that can be tried; `refuse` is told of each of the others."""
    queues: dict[str, RelayQueue] = {}
    for url in urls:
        try:
            relay = parse_relay_url(url)
        except InvalidRelayURL as error:
            refuse(Refused(url, Network.UNKNOWN.value, str(error), skipped=False))
            continue
        options = config.networks.get(relay.network)
        is_local = relay.network is Network.LOCAL  # runs under the options of clearnet, whether that is on or off
        if options is None:
            problem = "not a public name, nor one of a known network"
        elif is_local and not config.allow_private:
            problem = "private address; allow_private is not set"
        elif not is_local and not options.enabled:
            problem = f"network {relay.network} is not enabled"
        else:
            queues.setdefault(run_network(relay.network), RelayQueue()).untried.append(relay)
            continue
        refuse(Refused(relay.url, relay.network.value, problem, skipped=options is not None))
    return queues


def askable(urls: Iterable[str], config: SynchronizerConfig) -> list[str]:
    """The relays that the configuration lets us try."""
    queues = by_network(urls, config, lambda refused: None)
    return [relay.url for queue in queues.values() for relay in queue.untried]
