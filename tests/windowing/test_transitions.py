"""The table at the top of `walk`: which kinds of task follow which is what walks were seen to do."""

import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.windowing import walk as theory
from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.repeated import Repeated
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Task
from bigbrotr_dagster.windowing.walk import Walk
from tests.windowing.model import Relay, Stamp

ROW = re.compile(r"^    ([A-Z][a-z]+) +-> (.*)$", re.MULTILINE)

DRAWN = {row[1]: set(row[2].split()) - {"end"} for row in ROW.finditer(theory.__doc__ or "")}

WIDE = 30 * 86_400
"""Seconds that the walks go through: more than what is confirmed by kinds."""

seen: dict[str, set[str]] = {}


class Watched(Walk):
    """Notes what takes the place of what."""

    def answered(self, ask: Ask, answer: Answer) -> Proof:
        with self._watching(ask):
            return super().answered(ask, answer)

    def broken(self, ask: Ask, detail: str, *, flood: bool = False) -> Proof:
        with self._watching(ask):
            return super().broken(ask, detail, flood=flood)

    def refused(self, ask: Ask, detail: str) -> Proof | None:
        with self._watching(ask):
            return super().refused(ask, detail)

    def _watching(self, ask: Ask) -> "Watching":
        return Watching(self._tasks, self._asked.get(ask))


class Watching:
    def __init__(self, tasks: list[Task], task: Task | None) -> None:
        self.tasks, self.task, self.before = tasks, task, list(tasks)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self.task is None:
            return
        new = self.tasks[len(self.before) :]
        followers = seen.setdefault(name(self.task), set())
        followers |= {name(task) for task in new if not isinstance(task, Repeated)}


def name(task: Task) -> str:
    return type(task.task if isinstance(task, Repeated) else task).__name__


def relays() -> st.SearchStrategy[Relay]:
    """Relays with any of the habits that the model knows; most have one or none."""
    stamp = st.builds(
        Stamp,
        id=st.uuids().map(str),
        created_at=st.one_of(st.integers(1, 60), st.integers(1, WIDE), st.just(30)),
        kind=st.sampled_from([0, 1, 7, 777, 1059]),
        pubkey=st.sampled_from("abcdefgh"),
        damage=st.sampled_from(["", "", "", "claims", "silent", "lies"]),
    )
    rarely = st.sampled_from([False, False, False, True])
    return st.builds(
        Relay,
        events=st.lists(stamp, max_size=80, unique_by=lambda stamp: stamp.id),
        cap=st.integers(1, 30),
        seed=st.integers(0, 99),
        oldest_first=rarely,
        until_exclusive=rarely,
        since_exclusive=rarely,
        ignores_since=rarely,
        ignores_until=rarely,
        until_in_part=rarely,
        random_subset=rarely,
        least_cap=st.sampled_from([None, None, 1, 20]),
        hides=st.sampled_from([frozenset[int](), frozenset({1059})]),
        ignores_kinds=rarely,
        stable=st.booleans(),
        copies=st.sampled_from([1, 1, 1, 2]),
        strewn=st.sampled_from([0, 0, 0, 2]),
    )


def habits() -> Iterator[Habits]:
    yield Habits()
    yield Habits(largest=20, cut_at=20)
    yield Habits(largest=30, cut_at=5)
    yield Habits(largest=20, hides=True)
    yield Habits(largest=20, order=Order.UNTRUSTED)
    yield Habits(largest=30, cut_at=5, order=Order.UNTRUSTED)


# The same walks each time, for some kinds follow each other rarely.
@settings(max_examples=1_500, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
@given(
    relays(),
    st.sampled_from(range(6)),
    st.randoms(use_true_random=False),
    st.sampled_from(["", "", "refuses", "breaks", "giant"]),
)
def look(relay: Relay, which: int, random: Random, trouble: str) -> None:
    """One walk to its end; `trouble` is what the relay does now and then, or with its first event."""
    walk = Watched(Coverage.between(1, WIDE), 40, list(habits())[which])
    giant = relay.events[0].id if relay.events and trouble == "giant" else None
    for _ in range(3_000):
        ask = walk.next()
        if ask is None:
            return
        answer = relay.answer(ask)
        now = random.random() < 0.2
        if trouble == "refuses" and now and walk.refused(ask, "no") is not None:
            continue
        if (trouble == "breaks" and now) or giant in {event.id for event in (*answer.events, *answer.strays)}:
            walk.broken(ask, "too much", flood=giant is None and random.random() < 0.3)
        else:
            walk.answered(ask, answer)


@pytest.mark.slow
def test_what_follows_what_is_what_the_table_says() -> None:
    look()
    drawn = {name: sorted(followers) for name, followers in DRAWN.items()}
    assert drawn == {name: sorted(followers) for name, followers in seen.items()}
