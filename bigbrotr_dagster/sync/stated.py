"""What a relay says of itself: its limits (NIP-11), how many events it has (NIP-45). It proves nothing."""

from collections.abc import Iterable
from dataclasses import replace

from bigbrotr_dagster.config import NetworkConfig
from bigbrotr_dagster.nostr.connection import ConnectError, Connection
from bigbrotr_dagster.nostr.nip11 import Limitation, fetch_limitation
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.tasks import Gap, Unproven

_COUNTABLE = {Unproven.SATURATED, Unproven.OVERSIZED, Unproven.ALL_REJECTED}
"""Elsewhere the relay ignores the bounds, or does not answer at all."""


class Stated:
    """What one relay says of itself, for one run of its sync."""

    def __init__(
        self, relay: RelayURL, network: NetworkConfig, *, allow_private: bool, allow_insecure: bool
    ) -> None:
        self._relay = relay
        self._network = network
        self._allow_private = allow_private
        self._allow_insecure = allow_insecure
        self._limits: Limitation | None = None
        self._counts = True  # until it fails to answer a COUNT

    async def limits(self) -> Limitation:
        """The limits that the relay states; it is asked for them once, while it is connected to.

        So a host that says nothing costs its timeout once. A relay may allow no second connection.
        """
        if self._limits is None:
            try:
                self._limits = await fetch_limitation(
                    self._relay,
                    timeout=self._network.timeout,
                    proxy_url=self._network.proxy_url,
                    allow_private=self._allow_private,
                    verify=not self._allow_insecure,
                )
            except ConnectError:
                self._limits = Limitation()
        return self._limits

    async def estimated(
        self, connection: Connection, history: History, habits: Habits, gaps: Iterable[Gap]
    ) -> tuple[Gap, ...]:
        """The gaps, with an estimate of what is missing where the relay counts."""
        return tuple([await self._estimated(connection, history, habits, gap) for gap in gaps])

    async def _estimated(self, connection: Connection, history: History, habits: Habits, gap: Gap) -> Gap:
        if not self._counts or gap.reason not in _COUNTABLE or connection.closed:
            return gap
        since = max(0, gap.interval.since - (habits.since_exclusive is True))
        until = gap.interval.until + (habits.until_exclusive is True)
        count = await connection.count(history.filter.narrowed(since=since, until=until))
        if count is None:
            self._counts = False
            return gap
        return replace(gap, missing=max(0, count - gap.held))
