"""Whether it is the relays that are dead, or our own way to them. Pure: no clock, no I/O.

Theory of operation. A timeout, a name that nobody resolves (or somebody on the way, to an address of his own) and
a network that cannot be reached look the same when our own line is down. So what a relay is said to be dead for by
these is believed only where another one of its network answered after its check had begun (a refusal is an
answer), where it was known to be dead before, or where it is the only one. What is not believed is not written:
those relays stay due.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

from bigbrotr_dagster.config import run_network
from bigbrotr_dagster.discovery.health.probe import Found
from bigbrotr_dagster.nostr.reach import Failure

MAY_BE_OURS = {Failure.DNS, Failure.PRIVATE, Failure.TIMEOUT, Failure.NETWORK}

MOST_WAITING = 100
"""Failures that wait for a sign that our own way is open; more of them are no accident."""

LEAST = 2
"""Failures, and nothing else, from which on it is our own way that is doubted."""


@dataclass(slots=True)
class Doubt:
    """Give it what was found, in order; it says what to believe. `dead`: the relays that were dead before."""

    dead: Collection[str]
    disbelieved: list[Found] = field(default_factory=list)
    """What is not to be written."""
    _answered_at: dict[str, float] = field(default_factory=dict)  # by network
    _waiting: dict[str, list[tuple[float, Found]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, found: Found, started: float, now: float) -> list[Found]:
        """Returns what may be written now. Times are monotonic seconds."""
        network = run_network(found.relay.network)
        if found.failure is Failure.PROXY:  # ours in any case
            self.disbelieved.append(found)
            return []
        if found.failure is Failure.CERTIFICATE:  # believed, but whoever is between us and the world has one, too
            return [found]
        if found.alive or found.failure not in MAY_BE_OURS or found.refused:
            self._answered_at[network] = now
            return [found, *self._believed(network)]
        if found.relay.url in self.dead or started <= self._answered_at.get(network, -inf):
            return [found]
        waiting = self._waiting[network]
        waiting.append((started, found))
        if len(waiting) >= MOST_WAITING:
            self._disbelieve(network)
        return []

    def end(self) -> list[Found]:
        """Returns what may be written, now that nothing more comes."""
        believed = []
        for network, waiting in self._waiting.items():
            if len(waiting) >= LEAST:
                self._disbelieve(network)
            else:
                believed += [found for _, found in waiting]
        return believed

    def _believed(self, network: str) -> list[Found]:
        """All that wait: each began before this answer."""
        return [found for _, found in self._waiting.pop(network, [])]

    def _disbelieve(self, network: str) -> None:
        self.disbelieved += [found for _, found in self._waiting[network]]
        self._waiting[network] = []
