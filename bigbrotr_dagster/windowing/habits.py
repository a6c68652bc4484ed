"""What one relay has been seen to do. Learned from its answers, never assumed, kept between runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from bigbrotr_dagster.windowing.intervals import Interval

CREDIBLE_CAP = 20
"""Without any evidence of a cap, an answer of fewer events than this is not suspected of being cut."""


class Order(StrEnum):
    """Whether a cut answer can be taken to hold the newest events of its window (NIP-01)."""

    NEWEST_FIRST = "newest-first"
    UNTRUSTED = "untrusted"


@dataclass(slots=True)
class Habits:
    """Mutable notes on one relay, shared by all its walks.

    `largest`: the most events that one answer ever brought. `cut_at`: the fewest events of an answer that was
    later proved cut, because its window turned out to hold more; None while that never happened.
    `since_exclusive`, `until_exclusive`: whether the relay leaves that second itself out, against NIP-01;
    None while no answer has shown it.
    """

    largest: int = 0
    cut_at: int | None = None
    since_exclusive: bool | None = None
    until_exclusive: bool | None = None
    order: Order = Order.NEWEST_FIRST

    def note(self, since: int, until: int, created_at: Iterable[int]) -> None:
        """Learn from the seconds of one answer's events, in arrival order, and from the bounds asked for."""
        times = list(created_at)
        if since in times:
            self.since_exclusive = False
        if until in times:
            self.until_exclusive = False
        self.largest = max(self.largest, len(times))
        if any(later > earlier for earlier, later in pairwise(times)):
            self.order = Order.UNTRUSTED

    def note_cut(self, count: int) -> None:
        """An answer of `count` events has turned out to be cut."""
        self.cut_at = count if self.cut_at is None else min(self.cut_at, count)

    def bounds(self, window: Interval) -> tuple[int, int]:
        """`since` and `until` that bring all of `window`, whatever this relay takes as inclusive.

        A second wider at each end, until the relay has shown that it need not be: that second costs little, and
        makes either habit harmless.
        """
        since = window.since if self.since_exclusive is False else max(0, window.since - 1)
        until = window.until if self.until_exclusive is False else window.until + 1
        return since, until

    def may_be_cut(self, count: int, limit: int) -> bool:
        """Whether an answer of `count` events to a REQ with `limit` may have left events out."""
        if count == 0:
            return False
        if count >= limit or (self.cut_at is not None and count >= self.cut_at):
            return True
        return count >= max(self.largest, CREDIBLE_CAP)
