"""Coverage arithmetic on closed intervals of seconds.

NIP-01's `since` and `until` are both inclusive, so an interval is closed at both ends: `[5, 5]` is the
one second 5, and `[1, 4]` and `[5, 9]` touch and are one stretch. A `Coverage` is always in normal form:
ascending, disjoint, no two intervals touching. Two coverages of the same seconds are therefore equal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The seconds `since` to `until`, both included (Unix time)."""

    since: int
    until: int

    def __post_init__(self) -> None:
        if self.since > self.until:
            raise ValueError(f"an interval starts at {self.since} after its end {self.until}")

    @property
    def seconds(self) -> int:
        """How many seconds it has: one at least."""
        return self.until - self.since + 1

    def __contains__(self, second: int) -> bool:
        return self.since <= second <= self.until

    def __str__(self) -> str:
        return f"[{self.since}, {self.until}]"


class Coverage:
    """An immutable set of seconds, kept as few closed intervals."""

    __slots__ = ("_intervals",)

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        merged: list[Interval] = []
        for interval in sorted(intervals):
            if merged and interval.since <= merged[-1].until + 1:
                if interval.until > merged[-1].until:
                    merged[-1] = Interval(merged[-1].since, interval.until)
            else:
                merged.append(interval)
        self._intervals = tuple(merged)

    @classmethod
    def between(cls, since: int, until: int) -> "Coverage":
        """All seconds from `since` to `until`; none if `since` is the later one."""
        return cls([Interval(since, until)] if since <= until else [])

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        """The number of separate intervals."""
        return len(self._intervals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coverage) and self._intervals == other._intervals

    def __hash__(self) -> int:
        return hash(self._intervals)

    def __repr__(self) -> str:
        return f"Coverage({', '.join(map(str, self._intervals))})"

    def __contains__(self, second: int) -> bool:
        return any(second in interval for interval in self._intervals)

    @property
    def seconds(self) -> int:
        """How many seconds all its intervals have."""
        return sum(interval.seconds for interval in self._intervals)

    def __or__(self, other: "Coverage") -> "Coverage":
        return Coverage([*self._intervals, *other._intervals])

    def __sub__(self, other: "Coverage") -> "Coverage":
        left: list[Interval] = []
        holes = list(other._intervals)
        for interval in self._intervals:
            since = interval.since
            while holes and holes[0].until < since:
                holes.pop(0)
            for hole in holes:
                if hole.since > interval.until:
                    break
                if since < hole.since:
                    left.append(Interval(since, hole.since - 1))
                since = hole.until + 1
            if since <= interval.until:
                left.append(Interval(since, interval.until))
        return Coverage(left)

    def __and__(self, other: "Coverage") -> "Coverage":
        return self - (self - other)

    def end_of_stretch(self, since: int) -> int | None:
        """The last second of the contiguous stretch that starts at `since`; None if `since` is not covered."""
        return next((interval.until for interval in self._intervals if since in interval), None)
