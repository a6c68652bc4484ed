"""What each way for a request to end means: one table.

| ending                      | coverage | what next                                                     |
|-----------------------------|----------|---------------------------------------------------------------|
| EOSE                        | proof    | the next window                                               |
| CLOSED rate-limited         | nothing  | the same window, slower: `pause` doubles                      |
| CLOSED error, or no prefix  | nothing  | likewise                                                      |
| CLOSED auth-required        | nothing  | a gap `refused`: we answered all challenges that we could     |
| CLOSED with another prefix  | nothing  | the next rung of the ladder; on the last one a gap `refused`  |
| other NOTICE                | nothing  | the same window, slower; at the end of our patience as the    |
|                             |          | rows below if events had come, else as a refusal              |
| silence, drop, broken rules | nothing  | the same window, on a new connection, for fewer events if     |
|                             |          | some had come; after `PATIENCE` tries a gap `no-eose` if any  |
|                             |          | events came, else the windows stay pending                    |
"""

from collections.abc import Iterator
from enum import StrEnum

from bigbrotr_dagster.windowing.habits import Rung
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


def reaction(outcome: Outcome) -> Reaction:
    """The row of the table for this outcome."""
    match outcome.ending:
        case Ending.EOSE:
            return Reaction.PROVED
        case Ending.CLOSED:
            return Reaction.SLOW_DOWN if outcome.prefix in _PASSING_PREFIXES else Reaction.REFUSED
        case Ending.NOTICE:
            return Reaction.SLOW_DOWN  # it names no subscription, and may be about anything
        case Ending.TIMEOUT | Ending.DISCONNECTED | Ending.PROTOCOL_ERROR:
            return Reaction.RECONNECT


LONGEST_PAUSE = 30.0
"""Seconds between two requests, at most."""


def paused_after(outcome: Outcome, pause: float) -> float:
    """The pause that a relay needs, learned from how it took the last request: up fast, down slowly."""
    if outcome.ending is Ending.CLOSED and reaction(outcome) is Reaction.SLOW_DOWN:
        return min(LONGEST_PAUSE, max(0.1, 2 * pause))
    if outcome.ending not in (
        Ending.EOSE,
        Ending.PROTOCOL_ERROR,
    ):  # anything but an answer says nothing of the pace
        return pause
    return 0.7 * pause if pause > 0.02 else 0.0


def can_climb(outcome: Outcome, rung: Rung) -> bool:
    """Whether asking for less may help: a relay that wants us authenticated wants nothing else."""
    return rung < max(Rung) and outcome.prefix != "auth-required"


def delays(first: float = 0.25, longest: float = 30.0) -> Iterator[float]:
    """Seconds to wait before each further try of a request that brought nothing: doubling, without end."""
    delay = first
    while True:
        yield delay
        delay = min(2 * delay, longest)
