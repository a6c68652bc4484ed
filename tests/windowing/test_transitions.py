"""The table at the top of `walk`: which kinds of task follow which is what walks were seen to do."""

import re
from collections.abc import Iterator
from random import Random

import pytest

from bigbrotr_dagster.windowing import walk as theory
from bigbrotr_dagster.windowing.cuts import Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.repeated import Repeated
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Task
from bigbrotr_dagster.windowing.walk import Walk
from tests.windowing.model import Relay, Stamp

ROW = re.compile(r"^    ([A-Z][a-z]+) +-> (.*)$", re.MULTILINE)

DRAWN = {row[1]: set(row[2].split()) - {"end"} for row in ROW.finditer(theory.__doc__ or "")}

WALKS = 1_500
"""The same ones each time: some kinds of task follow each other rarely."""

LONGEST = 500
"""Requests for which a walk is followed: what comes later repeats what came before."""

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


def relay(random: Random) -> Relay:
    """A relay with any of the habits that the model knows; most have one or none."""
    events = [
        Stamp(
            id=f"{number}",
            created_at=random.choice([random.randint(1, 60), random.randint(1, WIDE), 30]),
            kind=random.choice([0, 1, 7, 777, 1059]),
            pubkey=random.choice("abcdefgh"),
            damage=random.choice(["", "", "", "claims", "silent", "lies"]),
        )
        for number in range(random.randint(0, 50))
    ]

    def rarely() -> bool:
        return random.random() < 0.2

    return Relay(
        events,
        cap=random.randint(1, 30),
        seed=random.randint(0, 99),
        oldest_first=rarely(),
        until_exclusive=rarely(),
        since_exclusive=rarely(),
        ignores_since=rarely(),
        ignores_until=rarely(),
        until_in_part=rarely(),
        random_subset=rarely(),
        least_cap=random.choice([None, None, 1, 20]),
        hides=random.choice([frozenset[int](), frozenset({1059})]),
        ignores_kinds=rarely(),
        stable=random.random() < 0.5,
        copies=random.choice([1, 1, 1, 2]),
        strewn=random.choice([0, 0, 0, 2]),
    )


def habits() -> Iterator[Habits]:
    yield Habits()
    yield Habits(largest=20, cut_at=20)
    yield Habits(largest=30, cut_at=5)
    yield Habits(largest=20, hides=True)
    yield Habits(largest=20, order=Order.UNTRUSTED)
    yield Habits(largest=30, cut_at=5, order=Order.UNTRUSTED)


def look(relay: Relay, which: int, random: Random, trouble: str) -> None:
    """One walk; `trouble` is what the relay does now and then, or with its first event."""
    walk = Watched(Coverage.between(1, WIDE), 40, list(habits())[which])
    giant = relay.events[0].id if relay.events and trouble == "giant" else None
    for _ in range(LONGEST):
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
    for seed in range(WALKS):
        random = Random(seed)
        look(relay(random), random.randrange(6), random, random.choice(["", "", "refuses", "breaks", "giant"]))
    drawn = {name: sorted(followers) for name, followers in DRAWN.items()}
    assert drawn == {name: sorted(followers) for name, followers in seen.items()}
