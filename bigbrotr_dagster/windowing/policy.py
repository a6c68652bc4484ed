"""What each way for a request to end means: one table, `RULES`. What is done about it, `conduct` decides.

A row says what to do next; only the first one proves anything. What each reaction is:

    PROVED     the answer is proof; the next window
    SLOW_DOWN  the same window on the same connection, slower where the pause grows. At the end of our patience
               the windows stay pending, unless it was NOTICEs: then a gap, `no-eose` if any events came, else
               `refused`
    REFUSED    the next rung of the ladder, without a pause; on the last one a gap `refused`. A relay that wants us
               authenticated wants nothing else: that gap at once. What was asked for narrowly (`Ask.is_narrow`) is
               asked for more narrowly, or set aside: the ladder is for the rest
    RECONNECT  the same window on a new connection, for fewer events if some had come; at the end of our patience a
               gap `no-eose` if any events came, or nothing but noise, else the windows stay pending
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome


class Reaction(StrEnum):
    """What to do after a request."""

    PROVED = "proved"
    SLOW_DOWN = "slow down"
    RECONNECT = "reconnect"
    REFUSED = "refused"


class Pace(StrEnum):
    """What becomes of the pause between two requests."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: `prefixes` are the outcome's, None is any other; `says` is how what the relay says begins."""

    ending: Ending
    prefixes: frozenset[str] | None
    reaction: Reaction
    pace: Pace
    says: re.Pattern[str] | None = None

    def is_for(self, outcome: Outcome) -> bool:
        """Whether the row holds for this outcome; the first row of `RULES` that does is the one."""
        if outcome.ending is not self.ending or (
            self.prefixes is not None and outcome.prefix not in self.prefixes
        ):
            return False
        said = f"{outcome.prefix}: {outcome.text}" if outcome.prefix else outcome.text
        return self.says is None or self.says.match(said) is not None


_PASSING = frozenset({"rate-limited", "error", ""})

_FOR_GOOD = re.compile(r"\W*(error\W+)?(bad|invalid|unsupported|malformed|unparse?able)\b", re.IGNORECASE)
"""However slowly it is asked again, this REQ stays what it is: "ERROR: bad req: … too many kinds in filter: 56"
(strfry), "invalid: must be less than or equal to 20 kinds" (@nostr-relay, as a NOTICE)."""

RULES = (
    Rule(Ending.EOSE, None, Reaction.PROVED, Pace.FASTER),
    Rule(Ending.CLOSED, None, Reaction.REFUSED, Pace.SAME, says=_FOR_GOOD),
    Rule(Ending.NOTICE, None, Reaction.REFUSED, Pace.SAME, says=_FOR_GOOD),
    Rule(Ending.CLOSED, _PASSING, Reaction.SLOW_DOWN, Pace.SLOWER),
    Rule(Ending.CLOSED, None, Reaction.REFUSED, Pace.SAME),
    Rule(
        Ending.NOTICE, None, Reaction.SLOW_DOWN, Pace.SAME
    ),  # it names no subscription, and may be about anything
    Rule(Ending.TIMEOUT, None, Reaction.RECONNECT, Pace.SAME),
    Rule(Ending.DISCONNECTED, None, Reaction.RECONNECT, Pace.SAME),
    Rule(Ending.PROTOCOL_ERROR, frozenset({NOISE}), Reaction.RECONNECT, Pace.SAME),
    Rule(Ending.PROTOCOL_ERROR, None, Reaction.RECONNECT, Pace.FASTER),  # an answer, if more than we take
)
"""The first row that fits counts."""


def rule(outcome: Outcome) -> Rule:
    """The row of the table for this outcome."""
    return next(row for row in RULES if row.is_for(outcome))


def reaction(outcome: Outcome) -> Reaction:
    """What the table says is next."""
    return rule(outcome).reaction
