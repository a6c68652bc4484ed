"""Events that a relay sends for a REQ that has ended: stored ones, if its EOSE came too early, or live ones.

NIP-01 lets events come after an EOSE only if they reach the relay after it. A proxy may say EOSE before it has
asked the relay behind it. Which of the two an event is shows when its second is asked for again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.messages import EventMessage, Message
from bigbrotr_dagster.nostr.subscription import Reply, Subscription
from bigbrotr_dagster.windowing.outcome import Ending, Outcome

MOMENT = 10.0
"""Seconds after an EOSE in which what comes says something about it: some relays do not heed a CLOSE."""

MOST_REMEMBERED = 128
"""Ended subscriptions of one connection whose events are still known for what they are."""


@dataclass(frozen=True, slots=True)
class LateEvents:
    """What came for the REQ of `selection` after its end; `page.outcome` is how it had ended.

    `lag`: seconds from that end to the first of them.
    """

    selection: Filter
    page: Reply
    lag: float

    @property
    def contradict(self) -> bool:
        """Whether an EOSE had said that there are no more, a moment ago."""
        return self.page.outcome.ending is Ending.EOSE and self.lag <= MOMENT


@dataclass(slots=True)
class _Ended:
    selection: Filter
    outcome: Outcome
    at: float  # monotonic seconds
    subscribe: Callable[[], Subscription]
    late: Subscription | None = None
    lag: float = 0.0


class EndedSubscriptions:
    """The subscriptions of one connection that have ended, and what still comes for them."""

    def __init__(self) -> None:
        self._ended: dict[str, _Ended] = {}  # by subscription id, in the order in which they ended
        self._came: dict[str, _Ended] = {}
        self.weight = 0
        """Bytes of memory that what came, and was not collected, takes."""

    def add(self, ended: Subscription, outcome: Outcome) -> None:
        """Remember a subscription, and how it ended."""
        self._ended[ended.id] = _Ended(ended.filter, outcome, monotonic(), ended.afresh())
        if len(self._ended) > MOST_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def take(self, message: Message | None, raw: bytes) -> None:
        """Take a message that is not for a request under way."""
        if not isinstance(message, EventMessage) or message.subscription not in self._ended:
            return
        ended = self._ended[message.subscription]
        if ended.late is None:
            ended.late, ended.lag = ended.subscribe(), monotonic() - ended.at
        self._came[message.subscription] = ended
        before = ended.late.weight
        has_ended = ended.late.take(message, raw) is not None
        self.weight += ended.late.weight - before
        if has_ended:  # more than a request may bring
            del self._ended[message.subscription]

    @property
    def have_more(self) -> bool:
        """Whether anything came that was not collected."""
        return bool(self._came)

    def collect(self) -> list[LateEvents]:
        """What came since the last call."""
        collected = []
        for ended in self._came.values():
            if ended.late is not None:
                collected.append(LateEvents(ended.selection, ended.late.finish(ended.outcome), ended.lag))
                ended.late = None
        self._came.clear()
        self.weight = 0
        return collected
