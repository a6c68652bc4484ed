"""What each way for a request to end means: one table.

| ending                      | coverage | what next                                                     |
|-----------------------------|----------|---------------------------------------------------------------|
| EOSE                        | proof    | the next window                                               |
| CLOSED rate-limited         | nothing  | the same window, slower                                       |
| NOTICE about the rate       | nothing  | the same window, slower                                       |
| CLOSED error, or no prefix  | nothing  | the same window, slower                                       |
| CLOSED with another prefix  | nothing  | this relay refuses the filter: its windows stay pending       |
| other NOTICE                | nothing  | likewise                                                      |
| silence, drop, broken rules | nothing  | the same window, on a new connection                          |
"""

from collections.abc import Iterator
from enum import StrEnum

from bigbrotr_dagster.windowing.outcome import Ending, Outcome


class Reaction(StrEnum):
    """What to do after a request."""

    PROVED = "proved"
    SLOW_DOWN = "slow down"
    RECONNECT = "reconnect"
    REFUSED = "refused"


PATIENCE = 4
"""Requests in a row that may bring nothing before the relay's sync is given up for this run."""

_PASSING_PREFIXES = {"rate-limited", "error", ""}
_RATE_WORDS = ("rate", "too many", "too fast", "slow down", "throttl", "limit exceeded")


def reaction(outcome: Outcome) -> Reaction:
    """The row of the table for this outcome."""
    match outcome.ending:
        case Ending.EOSE:
            return Reaction.PROVED
        case Ending.CLOSED:
            return Reaction.SLOW_DOWN if outcome.prefix in _PASSING_PREFIXES else Reaction.REFUSED
        case Ending.NOTICE:
            text = outcome.text.lower()
            return Reaction.SLOW_DOWN if any(word in text for word in _RATE_WORDS) else Reaction.REFUSED
        case Ending.TIMEOUT | Ending.DISCONNECTED | Ending.PROTOCOL_ERROR:
            return Reaction.RECONNECT


def delays(first: float = 1.0, longest: float = 30.0) -> Iterator[float]:
    """Seconds to wait before each further try of a request that brought nothing: doubling, without end."""
    delay = first
    while True:
        yield delay
        delay = min(2 * delay, longest)
