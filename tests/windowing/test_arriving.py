"""Walks of relays to which events of the last hours come while they are asked.

Where the order of a relay's events is not trusted, windows are halved, and compared with what came for the whole,
up to hundreds of answers ago. What has arrived since then is no sign that an answer was cut.
"""

from collections.abc import Iterator
from random import Random

import pytest

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.walk import Walk
from tests.windowing.model import Outcomes, Relay, Stamp, step

BEGIN = 10**6
HOURS = 18_000
"""Seconds back of which events arrive."""

ROUNDS, ROUNDS_OF_ARRIVAL = 4, 3


def walked(relay: Relay, draw: Random) -> Iterator[tuple[Habits, Outcomes]]:
    """Run after run, each with what the one before has learned; in all but the last one, events arrive.

    One with each answer.
    """
    habits, now = Habits(), float(BEGIN)
    for number in range(ROUNDS):
        end = int(now) - 1
        todo = Coverage.between(2 if number == 0 else end - HOURS, end)
        walk, left = Walk(todo, 500, habits), Outcomes({}, [], [])
        while not walk.is_done:
            now += draw.expovariate(10)
            if number < ROUNDS_OF_ARRIVAL:
                second = int(now) - draw.randrange(HOURS)
                relay.events.append(Stamp(f"late {len(relay.events)}", second, 1, draw.choice("abcdefgh")))
            step(walk, relay, left)
        yield habits, left
        habits = Habits.restored(habits.remembered(), 0)


def stored_at_first(draw: Random) -> list[Stamp]:
    seconds = draw.sample(range(2, BEGIN - HOURS), draw.choice([100, 400]))
    return [Stamp(f"{second}", second, draw.choice([0, 1, 7]), draw.choice("abcdefgh")) for second in seconds]


@pytest.mark.parametrize("seed", range(65, 80))
def test_what_arrives_meanwhile_is_no_cut_and_makes_no_gap(seed: int) -> None:
    draw = Random(seed)
    relay = Relay(stored_at_first(draw), 20, seed, oldest_first=True)
    for habits, left in walked(relay, draw):
        assert not left.gaps
        assert habits.cut_at in (None, 20)


@pytest.mark.parametrize("order", ["oldest_first", "random_subset"])
def test_nor_is_a_cut_that_varies_taken_for_what_arrives(order: str) -> None:
    """Of fixed relays: their answers may be cut alike by chance."""
    for seed in range(60, 85):
        draw = Random(seed)
        relay = Relay(stored_at_first(draw), 30, seed, least_cap=12, **{order: True})
        for _, left in walked(relay, draw):
            asked_for = Coverage(left.covered)
            lost = [one for one in relay.events if one.created_at in asked_for and one.id not in left.delivered]
            assert all(one.id.startswith("late") for one in lost), seed
