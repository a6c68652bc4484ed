"""The table of what endings mean, row by row: each leaves or moves coverage, pace and connection as it says."""

import pytest

from bigbrotr_dagster.nostr.messages import split_prefix
from bigbrotr_dagster.windowing.conduct import Conduct, Move
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.outcome import Ending, Hint, Outcome
from bigbrotr_dagster.windowing.policy import RULES, Pace, Reaction, Rule, reaction, rule
from bigbrotr_dagster.windowing.rungs import Rung
from bigbrotr_dagster.windowing.tasks import Answer, Ask
from bigbrotr_dagster.windowing.walk import Walk

RANGE = Coverage.between(2, 100)
ASK = Ask(2, 100, 500)


FOR_GOOD = [
    "ERROR: bad req: filter validation failed: too many kinds in filter: 56",
    "bad req: provided filter is not an object",
    "error: bad filter",
    "invalid: must be less than or equal to 20 kinds",
    "unsupported: filter contains unknown elements",
    "Invalid filter",
]
"""As relays say it, in a CLOSED or a NOTICE."""

FOR_NOW = [
    "ERROR: too many concurrent REQs",
    "error: database is busy",
    "could not finish",
    "rate-limited: bad luck",
]


def outcome(ending: Ending, said: str) -> Outcome:
    return (
        Outcome(ending, Hint.NONE, *split_prefix(said)) if ending is Ending.CLOSED else Outcome(ending, text=said)
    )


def outcomes(row: Rule) -> list[Outcome]:
    """An outcome for each prefix of a row; a prefix that nobody knows where it takes any."""
    if row.says is not None:
        return [outcome(row.ending, text) for text in FOR_GOOD]
    prefixes = row.prefixes or ({"blocked", "restricted", "unheard-of"} if row.ending is Ending.CLOSED else {""})
    return [Outcome(row.ending, prefix=prefix, text="said") for prefix in sorted(prefixes)]


CASES = [(row, outcome) for row in RULES for outcome in outcomes(row)]


def named(part: Rule | Outcome) -> str:
    """The same in every process, which the text of a row, with its sets, is not."""
    return f"row {RULES.index(part)}" if isinstance(part, Rule) else str(part)


@pytest.mark.parametrize(("row", "outcome"), CASES, ids=named)
def test_only_proof_moves_seconds_out_of_pending(row: Rule, outcome: Outcome) -> None:
    walk = Walk(RANGE, 500, Habits())
    ask = walk.next()
    assert ask is not None
    if row.reaction is Reaction.PROVED:
        assert walk.answered(ask, Answer([], outcome)).covered
        assert walk.pending != RANGE
    else:
        walk.failed(ask)
        assert walk.pending == RANGE
        assert walk.next() == ask, "the same window is asked for again"


@pytest.mark.parametrize(("row", "outcome"), CASES, ids=named)
def test_the_pace_is_the_tables(row: Rule, outcome: Outcome) -> None:
    assert rule(outcome) is row
    now = Conduct(Habits(pause=1.0), 0, 500).after(outcome, ASK).pause
    assert {Pace.SLOWER: now > 1, Pace.SAME: now == 1, Pace.FASTER: now < 1}[row.pace]


def test_every_ending_has_a_row() -> None:
    assert {row.ending for row in RULES} == set(Ending)


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.NOTICE])
@pytest.mark.parametrize("said", FOR_GOOD)
def test_what_is_refused_for_good_is_asked_in_another_shape_and_no_slower(ending: Ending, said: str) -> None:
    refused = outcome(ending, said)
    assert reaction(refused) is Reaction.REFUSED
    habits = Habits(pause=1.0)
    assert Conduct(habits, 0, 500).after(refused, ASK).pause == 1.0
    assert habits.rung is Rung.SMALL_LIMIT


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.NOTICE])
@pytest.mark.parametrize("said", FOR_NOW)
def test_what_fails_for_now_is_asked_again(ending: Ending, said: str) -> None:
    assert reaction(outcome(ending, said)) is Reaction.SLOW_DOWN


@pytest.mark.parametrize(
    "prefix", ["blocked", "restricted", "invalid", "mute", "pow", "unsupported", "auth-required"]
)
def test_a_refusal_climbs_the_ladder_unless_it_is_about_who_we_are(prefix: str) -> None:
    outcome = Outcome(Ending.CLOSED, prefix=prefix)
    assert reaction(outcome) is Reaction.REFUSED
    habits, top = Habits(), Habits(rung=max(Rung))
    climbs = Conduct(habits, 0, 500).after(outcome, ASK).move is Move.GO_ON
    assert climbs is (prefix != "auth-required")
    assert habits.rung is (Rung.SMALL_LIMIT if climbs else Rung.FREE)
    assert Conduct(top, 0, 500).after(outcome, ASK).move is Move.LEAVE
