"""A relay as a function: events in, the answer to one ask out. Its habits are arguments."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.outcome import Ending, Hint, Outcome
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Stamped
from bigbrotr_dagster.windowing.walk import Walk

EOSE = Outcome(Ending.EOSE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """An event, as far as a walk can see it."""

    id: str
    created_at: int
    kind: int = 1
    pubkey: str = "a"
    damage: str = ""
    """It is no event: its second shows ("claims"), does not ("silent"), or is said to be the first ("lies")."""


@dataclass(slots=True)
class Relay:
    """Answers asks from `events`, at most `cap` of them at a time."""

    events: list[Stamp]
    cap: int
    seed: int = 0
    oldest_first: bool = False
    until_exclusive: bool = False
    since_exclusive: bool = False
    ignores_since: bool = False
    ignores_until: bool = False
    until_in_part: bool = False
    """Of the second `until` it sends one event only (nostr-relay on LMDB)."""
    nothing_from_zero: bool = False
    """It answers nothing where `since` is 0 (the same)."""
    random_subset: bool = False
    least_cap: int | None = None
    """The cap of each answer is drawn from here to `cap`."""
    hides: frozenset[int] = frozenset()
    """Kinds that are removed after the answer was cut (strfry)."""
    forged: frozenset[str] = frozenset()
    """Ids of events that are none: they take room in an answer, and are thrown away."""
    finishes: bool = False
    ignores_kinds: bool = False
    stable: bool = False
    """Ties come by lowest id, as NIP-01 has it, so that the same ones are cut each time; else in any order."""
    copies: int = 1
    """It sends each event so often, and each copy takes room."""
    strewn: int = 0
    """Up to so many things that are no events come on top of an answer, and take no room."""
    asks: list[Ask] = field(default_factory=list)
    sent: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def answer(self, ask: Ask) -> Answer:
        self.asks.append(ask)
        matching = self._matching(ask)
        cap = self.cap if self.least_cap is None else self.random.randint(min(self.least_cap, self.cap), self.cap)
        matching = [event for event in matching for _ in range(self.copies)]
        sent = self._cut(matching, min(ask.limit, cap))
        duplicates = len(sent) - len(set(sent))
        ids = frozenset(event.id for event in sent if event.damage or event.id in self.forged)
        sent = list(dict.fromkeys(sent))
        sent = [event for event in sent if event.kind not in self.hides]
        self.sent += len(sent)
        refused = [event for event in sent if event.id in self.forged or event.damage]
        claimed = [
            1 if event.damage == "lies" else event.created_at for event in refused if event.damage != "silent"
        ]
        asked = [event for event in sent if ask.kinds is None or event.kind in ask.kinds]
        unwanted = set(refused)
        off_filter = len(set(sent) - set(asked) - unwanted)
        sent = [event for event in asked if event not in unwanted]
        inside = [event for event in sent if ask.since <= event.created_at <= ask.until]
        strays = [event for event in sent if not ask.since <= event.created_at <= ask.until]
        on_top = range(self.random.randint(0, self.strewn))
        ids |= {f"strewn {self.random.getrandbits(64)}" for _ in on_top}
        hint = Hint.NONE
        if self.finishes:
            hint = Hint.MORE if len(sent) < len(matching) else Hint.FINISH
        return Answer(
            inside,
            Outcome(Ending.EOSE, hint),
            strays,
            len(refused) + len(on_top),
            off_filter,
            claimed,
            duplicates,
            ids,
        )

    def _matching(self, ask: Ask) -> list[Stamp]:
        """In the order of the answer; ties come in any order, and are cut anywhere."""
        if self.nothing_from_zero and ask.since == 0:
            return []
        matching = [event for event in self.events if self._matches(ask, event)]
        if self.stable:
            matching.sort(key=lambda event: event.id)
        else:
            self.random.shuffle(matching)
        matching.sort(key=lambda event: event.created_at, reverse=not self.oldest_first)
        if self.until_in_part:
            last = [event for event in matching if event.created_at == ask.until]
            left_out = set(last[1:])
            matching = [event for event in matching if event not in left_out]
        return matching

    def _cut(self, matching: list[Stamp], size: int) -> list[Stamp]:
        if not self.random_subset:
            return matching[:size]
        chosen = sorted(self.random.sample(range(len(matching)), min(size, len(matching))))
        return [matching[index] for index in chosen]

    def _matches(self, ask: Ask, event: Stamp) -> bool:
        since = ask.since + 1 if self.since_exclusive else ask.since
        until = ask.until - 1 if self.until_exclusive else ask.until
        return (
            (self.ignores_since or event.created_at >= since)
            and (self.ignores_until or event.created_at <= until)
            and (ask.kinds is None or event.kind in ask.kinds or self.ignores_kinds)
            and (ask.authors is None or event.pubkey in ask.authors)
        )


@dataclass(slots=True)
class Outcomes:
    """What a finished or interrupted walk left behind."""

    delivered: dict[str, Stamped]
    covered: list[Interval]
    gaps: list[Interval]


def run(walk: Walk, relay: Relay, fails: Iterator[bool] | None = None, most: int = 20_000) -> Outcomes:
    """Drive a walk to its end against a relay; `fails` says which requests get no EOSE."""
    left = Outcomes({}, [], [])
    for _ in range(most):
        ask = walk.next()
        if ask is None:
            return left
        again = Coverage.between(ask.since + 1, ask.until - 1) & Coverage(left.covered)
        assert not again, f"{again} is covered, and asked for again"
        _take(walk, relay, ask, fails, left)
    raise AssertionError(f"the walk has not ended after {most} requests")


def run_together(
    walk: Walk, relay: Relay, fails: Iterator[bool] | None, *, longest: int, width: int, most: int = 20_000
) -> Outcomes:
    """As `run`, with `width` requests under way at once where windows can be laid out for so many."""
    left = Outcomes({}, [], [])
    for _ in range(most):
        walk.lay_out(width, max(1, longest // 4), longest)
        asks = [ask for _ in range(width) if (ask := walk.next()) is not None]
        if not asks:
            return left
        for ask in reversed(asks):
            _take(walk, relay, ask, fails, left)
    raise AssertionError(f"the walk has not ended after {most} rounds")


def run_filtered(walk: Walk, relay: Relay, kinds: tuple[int, ...], most: int = 20_000) -> Outcomes:
    """As `run`, for a walk under a filter of `kinds`."""
    left = Outcomes({}, [], [])
    for _ in range(most):
        ask = walk.next()
        if ask is None:
            return left
        narrowed = tuple(kind for kind in kinds if ask.kinds is None or kind in ask.kinds)
        answer = relay.answer(replace(ask, kinds=narrowed)) if narrowed else Answer([], EOSE)
        left.delivered |= {event.id: event for event in (*answer.events, *answer.strays)}
        _note(walk.answered(ask, answer), left)
    raise AssertionError(f"the walk has not ended after {most} requests")


def step(walk: Walk, relay: Relay, left: Outcomes) -> None:
    """One request and its answer."""
    ask = walk.next()
    assert ask is not None
    _take(walk, relay, ask, None, left)


def _take(walk: Walk, relay: Relay, ask: Ask, fails: Iterator[bool] | None, left: Outcomes) -> None:
    answer = relay.answer(ask)
    if fails is not None and next(fails):
        walk.failed(ask)
        return
    left.delivered |= {event.id: event for event in (*answer.events, *answer.strays)}
    _note(walk.answered(ask, answer), left)


def _note(proof: Proof, left: Outcomes) -> None:
    left.covered += proof.covered
    left.gaps += [gap.interval for gap in proof.gaps]
