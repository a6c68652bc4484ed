"""Events that came after the EOSE of their request, and what they disprove.

Theory of operation. Such an event has just arrived at the relay, or the EOSE was false: it came before the events.
The one is told from the other by asking again, for then the event has to come before the EOSE. Until it has, no
answer without it counts for its second, and what was claimed of that second before is taken back. A false EOSE is
waited out from then on (`Habits.grace`).
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.tasks import TOLERATED_SHARE, Ask, Stamped

ASKED_IN_VAIN = 2
"""Answers without an awaited event, after which it is taken to be gone: deleted, replaced, expired. Few are."""

PAGES_REMEMBERED = 4
"""Answers whose events are known again: some relays send an event of theirs once more after the EOSE."""

MOST_AWAITED = 20_000
MOST_CLAIMS = 1_000
"""Of one history: the latest ones, some ten seconds' worth."""

EPHEMERAL = range(20_000, 30_000)
"""Kinds that relays pass on and do not store (NIP-01): asking again never brings them."""


@dataclass(slots=True)
class _Awaited:
    second: int
    in_vain: int = 0
    has_contradicted: bool = False


@dataclass(slots=True)
class Lateness:
    """What one run knows of one history: events that came late, and the latest claims that they may contradict."""

    _awaited: dict[str, _Awaited] = field(default_factory=dict)  # by id
    _claims: deque[Interval] = field(default_factory=lambda: deque(maxlen=MOST_CLAIMS))
    _pages: dict[Filter | None, frozenset[str]] = field(default_factory=dict)  # ids, the latest answer last
    _oldest: int | None = None  # second of an event that came
    _came_late: int = 0
    _gone: int = 0

    def expect(self, selection: Filter, events: Iterable[Stamped]) -> int:
        """Await these events, which came after the EOSE of a REQ for `selection`; returns how many it had not."""
        came_before = self._came_late
        before = self._pages.get(selection)
        known = frozenset[str]().union(*self._pages.values()) if before is None else before
        for event in events:
            if event.id not in known and event.kind not in EPHEMERAL and len(self._awaited) < MOST_AWAITED:
                self._awaited[event.id] = _Awaited(event.created_at)
                self._came_late += 1
        return self._came_late - came_before

    def contradicted(self) -> Coverage:
        """What was claimed although awaited events were not there; it is claimed no more."""
        wrong = self._contradicted(self._claims)
        for claim in wrong:
            self._claims.remove(claim)
        return Coverage(wrong)

    def name(self, gaps: Iterable[Interval]) -> None:
        """Answers have shown that these seconds cannot be had whole: they claim that no more of them will come."""
        self._claims.extend(gaps)

    def lacks_what_was_due(self, ask: Ask, events: Sequence[Stamped]) -> bool:
        """Whether an answer is empty although it continues another one, and should begin with its last second."""
        if events:
            oldest = min(event.created_at for event in events)
            self._oldest = oldest if self._oldest is None else min(oldest, self._oldest)
            return False
        if self._oldest is None or ask.kinds is not None or ask.authors is not None:
            return False
        return self._oldest <= ask.until <= self._oldest + 1

    def came(self, selection: Filter | None, events: Sequence[Stamped]) -> bool:
        """These came as they should; returns whether that explains a contradiction: nothing was wrong with it."""
        ids = frozenset(event.id for event in events)
        self._pages.pop(selection, None)
        self._pages[selection] = ids
        if len(self._pages) > PAGES_REMEMBERED:
            del self._pages[next(iter(self._pages))]
        found = [self._awaited.pop(id) for id in self._awaited.keys() & ids]
        return any(each.has_contradicted for each in found)

    def claim(self, covered: Sequence[Interval]) -> Coverage:
        """An answer claims to hold all events of these seconds; returns what of that is contradicted."""
        for id in [id for id, each in self._awaited.items() if any(each.second in part for part in covered)]:
            self._awaited[id].in_vain += 1
            if self._awaited[id].in_vain >= ASKED_IN_VAIN and self._gone <= self._came_late // TOLERATED_SHARE:
                del self._awaited[id]
                self._gone += 1
        disproved = Coverage(self._contradicted(covered))
        self._claims.extend(Coverage(covered) - disproved)
        return disproved

    def _contradicted(self, claims: Iterable[Interval]) -> list[Interval]:
        """The claims for a second of which an event is awaited."""
        if not self._awaited:
            return []
        awaited = sorted(self._awaited.values(), key=_second)
        wrong = []
        for claim in claims:
            inside = awaited[
                bisect_left(awaited, claim.since, key=_second) : bisect_right(awaited, claim.until, key=_second)
            ]
            for each in inside:
                each.has_contradicted = True
            if inside:
                wrong.append(claim)
        return wrong


def _second(awaited: _Awaited) -> int:
    return awaited.second
