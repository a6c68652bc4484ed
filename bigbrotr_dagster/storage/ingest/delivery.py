"""What goes into the archive together: the events of one answer and what that answer proves."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.tasks import Gap


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event, or what was sent in place of one, that is kept aside: `raw` bytes and a stable reason."""

    reason: str
    raw: bytes
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in (created_at, id) order: everything up to it is stored, or inside a named gap.

    A cursor stands at the end of a covered second, so its id is the highest that there can be.
    """

    timestamp: int
    id: str = "f" * 64


LATENESS = (("hour", 3_600), ("day", 86_400), ("week", 7 * 86_400), ("month", 30 * 86_400), ("year", 365 * 86_400))
"""How late an event can be, at most, in seconds; what is later still is "more"."""


@dataclass(slots=True)
class Tally:
    """What the writer did with one relay's deliveries, so far."""

    events_new: int = 0
    events_known: int = 0
    observations_new: int = 0
    late_events: int = 0
    """Of these, those in seconds that had been proved complete before."""
    late_by: Counter[str] = field(default_factory=Counter)
    """Of these, by their age when they were found: see `LATENESS`."""
    events_claimed: int = 0
    """Of `events_known`, those that did not come: the relay says that it holds them."""
    events_gone: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add_late(self, seconds: Iterable[int]) -> None:
        """Count events that were so many seconds old when they were found."""
        for age in seconds:
            self.late_events += 1
            self.late_by[next((name for name, most in LATENESS if age <= most), "more")] += 1


@dataclass(frozen=True, slots=True)
class Compared:
    """What a reconciliation (NIP-77) has shown beside the events that it brought; ids are 32 bytes.

    `claimed`: stored events that the relay holds, by its word; `are_late`: in seconds that had been proved before.
    `gone`: events that it holds no more; `back`: events that it holds, whatever was said of them before.
    `withheld`: what it did not send, and in which seconds each of these lies; `refused`: those of them in whose
    place came what is no event. `settled`: of what it had not sent before, what has come, or is claimed no more.
    """

    claimed: Sequence[bytes] = ()
    are_late: bool = False
    gone: Sequence[bytes] = ()
    back: Sequence[bytes] = ()
    withheld: Mapping[bytes, Interval] = field(default_factory=dict)
    refused: Collection[bytes] = ()
    settled: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer of one relay. It is stored in one transaction: all of it, or none.

    `again`: seconds that had been proved complete before. `rejected_counts` counts every rejection by reason;
    `rejected` holds those that are worth keeping. `disproved`: seconds that were covered by mistake.
    """

    relay_url: str
    filter_hash: str
    filter: dict[str, object]
    seen_at: int
    tally: Tally
    events: Sequence[Event] = ()
    rejected: Sequence[Quarantined] = ()
    rejected_counts: dict[str, int] = field(default_factory=dict)
    disproved: Sequence[Interval] = ()
    covered: Sequence[Interval] = ()
    again: Coverage = field(default_factory=Coverage)
    gaps: Sequence[Gap] = ()
    cursor: Cursor | None = None
    compared: Compared = field(default_factory=Compared)
    weight: int = 0
    """Bytes of memory that it takes."""

    @property
    def size(self) -> int:
        """Events whose observations it brings."""
        return len(self.events) + len(self.compared.claimed)
