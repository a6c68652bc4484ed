"""The table of what endings mean, row by row: each leaves or moves coverage, pace and connection as it says."""

import pytest

from bigbrotr_dagster.windowing import Answer, Coverage, Ending, Habits, Outcome, Walk
from bigbrotr_dagster.windowing.habits import Rung
from bigbrotr_dagster.windowing.policy import RULES, Pace, Reaction, Rule, can_climb, paused_after, reaction, rule

RANGE = Coverage.between(2, 100)


def outcomes(row: Rule) -> list[Outcome]:
    """An outcome for each prefix of a row; a prefix that nobody knows where it takes any."""
    prefixes = row.prefixes or ({"blocked", "restricted", "unheard-of"} if row.ending is Ending.CLOSED else {""})
    return [Outcome(row.ending, prefix=prefix, text="said") for prefix in sorted(prefixes)]


CASES = [(row, outcome) for row in RULES for outcome in outcomes(row)]


@pytest.mark.parametrize(("row", "outcome"), CASES, ids=str)
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


@pytest.mark.parametrize(("row", "outcome"), CASES, ids=str)
def test_the_pace_is_the_tables(row: Rule, outcome: Outcome) -> None:
    assert rule(outcome) is row
    now = paused_after(outcome, 1.0)
    assert {Pace.SLOWER: now > 1, Pace.SAME: now == 1, Pace.FASTER: now < 1}[row.pace]


def test_every_ending_has_a_row() -> None:
    assert {row.ending for row in RULES} == set(Ending)


@pytest.mark.parametrize(
    "prefix", ["blocked", "restricted", "invalid", "mute", "pow", "unsupported", "auth-required"]
)
def test_a_refusal_climbs_the_ladder_unless_it_is_about_who_we_are(prefix: str) -> None:
    outcome = Outcome(Ending.CLOSED, prefix=prefix)
    assert reaction(outcome) is Reaction.REFUSED
    assert can_climb(outcome, Rung.FREE) is (prefix != "auth-required")
    assert not can_climb(outcome, max(Rung))
