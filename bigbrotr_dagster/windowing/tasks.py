"""The vocabulary of a walk: an `Ask` goes out, an `Answer` comes back, a `Step` says what it proves.

A task owns one window. It is frozen: answering it gives the tasks that replace it, so that a failed
request leaves everything as it was and can simply be asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from bigbrotr_dagster.windowing.cuts import CREDIBLE_CAP, Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.outcome import Outcome

TOLERATED_SHARE = 50
"""One event in so many may come or go from one answer to the next (new, deleted, replaced) without any doubt."""


class Stamped(Protocol):
    """What a walk looks at in an event."""

    @property
    def id(self) -> str:
        """64 hex digits."""
        ...

    @property
    def created_at(self) -> int:
        """Unix time, in seconds."""
        ...

    @property
    def kind(self) -> int:
        """0 to 65,535."""
        ...

    @property
    def pubkey(self) -> str:
        """The author: 64 hex digits."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One REQ: `since` and `until` inclusive; `kinds` and `authors` narrow the walk's filter, None leaves it.

    `is_larger`: the `limit` is more than what is usually asked for.
    """

    since: int
    until: int
    limit: int
    kinds: tuple[int, ...] | None = None
    authors: tuple[str, ...] | None = None
    is_larger: bool = False

    @property
    def is_narrow(self) -> bool:
        """It names kinds or authors: a relay may refuse that, and answer wider asks."""
        return self.kinds is not None or self.authors is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back before an EOSE.

    `events` are inside the ask, in arrival order, each id once; `strays` match the filter but lie outside
    the ask's seconds: a relay sends them that ignores `since` or `until`, or just so. `refused` counts what the
    relay sent in place of events: it used up the relay's cap like them; `refused_at` are the seconds that these
    claim, as far as they claim any, in the order of arrival: a hint where to go on, and never proof; by some of
    `refused_ids` the same things are known when they come again. `off_filter`
    counts what was not asked for at all, `duplicates` the copies of events that had come already.
    """

    events: Sequence[Stamped]
    outcome: Outcome
    strays: Sequence[Stamped] = ()
    refused: int = 0
    off_filter: int = 0
    refused_at: Sequence[int] = ()
    duplicates: int = 0
    refused_ids: frozenset[object] = frozenset()

    @property
    def size(self) -> int:
        """How many events the relay sent that the ask meant: at most its cap."""
        return len(self.events) + self.refused

    def counted(self, ask: Ask, habits: Habits) -> int:
        """How many events may have used up the relay's cap before all that the ask meant was sent.

        Strays older than `since` did not where the newest events come first.
        """
        older = len(self.strays) - len(self.newer(ask)) if habits.order is Order.UNTRUSTED else 0
        return self.size + len(self.newer(ask)) + older + self.off_filter

    @property
    def everything(self) -> int:
        """How many messages the relay sent in all, asked for or not, but for copies."""
        return self.size + len(self.strays) + self.off_filter

    @property
    def messages(self) -> int:
        """How many EVENT messages the answer had, copies among them."""
        return self.everything + self.duplicates

    def rejected(self, habits: Habits) -> int:
        """How many messages took up the relay's room that hold no event of the ask.

        What was not asked for at all, or came twice, may be on top: it took none where other answers were longer.
        """
        on_top = self.messages < max(habits.longest, CREDIBLE_CAP)
        return self.refused + (0 if on_top else self.off_filter + self.duplicates)

    def room_at_most(self, ask: Ask, habits: Habits) -> int:
        """`counted`, or more where copies filled the answer."""
        return max(self.counted(ask, habits), len(self.events) + self.rejected(habits))

    def room(self, ask: Ask, habits: Habits) -> int:
        """As `room_at_most`; but what exceeds all other answers came on top."""
        if self.counted(ask, habits) <= habits.fullest:
            return self.room_at_most(ask, habits)
        return len(self.events) + self.rejected(habits)

    def is_cut_by_rejected(self, ask: Ask, habits: Habits) -> bool:
        """Whether what was rejected may have used up the relay's room before all of the ask was sent."""
        return habits.is_cut_by_rejected(len(self.events), self.rejected(habits), ask.limit)

    def inside(self, window: Interval) -> list[Stamped]:
        """The events of the window's seconds, in arrival order."""
        return [event for event in self.events if event.created_at in window]

    def spare(self, window: Interval) -> frozenset[int]:
        """The seconds around `window` that came as well, and took room."""
        came = {event.created_at for event in self.events} | set(self.refused_at)
        return frozenset(second for second in came if second not in window)

    def newer(self, ask: Ask) -> frozenset[str]:
        """Ids of what lies above `until`. If that always comes, nothing shows what lies below."""
        return frozenset(event.id for event in self.strays if event.created_at > ask.until)

    def older(self, ask: Ask) -> frozenset[str]:
        """Ids of what lies below `since`."""
        return frozenset(event.id for event in self.strays if event.created_at < ask.since)


class Unproven(StrEnum):
    """Why a stretch cannot be proved complete: the reason of a gap."""

    SATURATED = "saturated"
    UNTIL_IGNORED = "until-ignored"
    SINCE_IGNORED = "since-ignored"
    ALL_REJECTED = "all-rejected"
    OVERSIZED = "oversized"
    NO_EOSE = "no-eose"
    REFUSED = "refused"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Gap:
    """Seconds that were asked for and cannot be proved complete.

    `held`: events that were delivered there. `detail`: what the relay said. `missing`: an estimate of the events
    that were not delivered, None where nothing tells.
    """

    interval: Interval
    reason: Unproven
    held: int = 0
    detail: str = ""
    missing: int | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


@dataclass(frozen=True, slots=True)
class Proof:
    """What one answer settles, once its events are stored."""

    covered: tuple[Interval, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one answer: the proof and the tasks that are left, the next one last."""

    proof: Proof = Proof()
    tasks: tuple["Task", ...] = ()

    @classmethod
    def covers(cls, interval: Interval, *tasks: "Task") -> "Step":
        """All of `interval` is proved; `tasks` are left."""
        return cls(Proof(covered=(interval,)), tasks)

    @classmethod
    def gives_up(cls, gap: Gap) -> "Step":
        """The gap is all that came of it."""
        return cls(Proof(gaps=(gap,)))


class Task(Protocol):
    """A window that is not settled yet."""

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The request to send next, for at most `limit` events; asking changes nothing."""
        ...

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Take an answer that ended with EOSE, from which `habits` have learned what any answer shows."""
        ...


@runtime_checkable
class Breakable(Task, Protocol):
    """A task that knows what to do when an answer is more than we take."""

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """Take note that the answer to `ask` was more than we take; `detail` says what it was."""
        ...


@runtime_checkable
class Narrow(Task, Protocol):
    """A task that may name kinds or authors, and knows what to do where the relay will not answer that."""

    def refused(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """Take note that the relay will not answer `ask`; `detail` is what it said."""
        ...
