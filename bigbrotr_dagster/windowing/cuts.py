"""Where a relay's answers end before all is sent, as far as they have shown it: its cap, and how sure that is."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigbrotr_dagster.windowing.tasks import Answer, Ask

CREDIBLE_CAP = 20
"""Without any evidence of a cap, an answer of fewer events than this is not suspected of being cut."""

LEAST_CAP = 10
"""Nor is one of fewer messages, of a relay whose cap varies."""

ENOUGH_AS_FULL = 3
"""Answers of the same length, and none that was longer: that is where this relay cuts."""

ENOUGH_CUTS, ENOUGH_EQUAL_CUTS = 5, 3
"""Answers that were all cut at one length, as good as or exactly: the relay has one cap."""

SAME_LENGTH = 2
"""Things that may come on top of some answers that were cut at one length."""

BY_CHANCE = 10
"""Things on top of an answer that looked like those on top of the one before, at most."""

TELLING = 8
"""Events: of a page so long, no relay sends exactly the newest ones by chance."""

REJECTED_SHARE = 10
"""What was rejected is suspected of having filled an answer where that is one in so many of the largest answer."""


class Order(StrEnum):
    """Whether a cut answer can be taken to hold the newest events of its window (NIP-01)."""

    NEWEST_FIRST = "newest-first"
    UNTRUSTED = "untrusted"


@dataclass(slots=True)
class Cuts:
    """Mutable notes on one relay's answers: how long they are, and which of them were cut.

    `largest`: the most events of what was asked for that one answer ever brought: the relay's cap is no smaller.
    `cut_at`: the fewest events of an answer that was later proved cut, because its window turned out to hold
    more; None while that never happened; `cuts`, how many such answers there were. `order`: see `Order`.
    `cut_pages`: answers that may have been cut, so far; some of them are checked. `checked`: events of
    the answers for which a check was passed. `hides`: the relay removes events after counting its limit, so that
    short and even empty answers prove nothing.

    Of this run alone: `longest`, the most messages that one answer brought, asked for or not; `fullest`, the most
    of them that were asked for, or came in place of what was, and `as_full`, how many answers were as long;
    `in_place`, the most of them in one answer that certainly took up room: events, and what came again in their
    place; `longest_cut`, the most events of an answer that was proved cut.
    """

    largest: int = 0
    cut_at: int | None = None
    cuts: int = 0
    order: Order = Order.NEWEST_FIRST
    cut_pages: int = 0
    checked: int = 0
    hides: bool = False
    longest: int = 0
    fullest: int = 0
    as_full: int = 0
    in_place: int = 0
    longest_cut: int = 0

    def note_length(self, ask: "Ask", answer: "Answer") -> None:
        """Take note of how long an answer is."""
        self.longest = max(self.longest, answer.messages)
        if not ask.is_larger:  # its length says nothing of answers to our usual limit
            self.largest = max(self.largest, len(answer.events))
            size = max(self.largest, answer.size)
            self.as_full = self.as_full + (answer.size == size) if size == self.fullest else 1
            self.fullest = max(self.fullest, size)

    def note_cut(self, count: int, limit: int) -> None:
        """An answer of `count` events to a REQ with `limit` has turned out to be cut, by the relay itself.

        Of a relay that hides events after counting them, a short answer says nothing about its cap.
        """
        if 0 < count < limit and not self.hides:
            self.cut_at = count if self.cut_at is None else min(self.cut_at, count)
            self.cuts += 1
            self.longest_cut = max(self.longest_cut, count)

    def note_cut_page(self) -> None:
        """One more answer may have been cut at its old end."""
        self.cut_pages += 1

    def note_checked(self, events: int) -> None:
        """An answer of so many events was cut at its old end, as a check has shown."""
        self.checked += events

    def distrust(self) -> None:
        """A cut answer did not hold the newest events of its window."""
        self.order = Order.UNTRUSTED

    def note_in_place(self, count: int) -> None:
        """An answer had room for so many: events, and what had come in their place before, and came again."""
        self.in_place = max(self.in_place, count)

    def note_hiding(self) -> None:
        """A short answer did not show what is there, though it was not cut."""
        self.hides = True
        if self.varies:
            self.forget_cuts()

    def forget_cuts(self) -> None:
        """The answers that were taken for cut ones may have been short for another reason."""
        self.cut_at, self.cuts, self.longest_cut = None, 0, 0

    def forget(self) -> None:
        """Answers did not end where they seemed to: all but how long they were is to be learned anew."""
        self.order, self.hides, self.cut_pages, self.checked = Order.NEWEST_FIRST, False, 0, 0
        self.forget_cuts()

    @property
    def is_unknown(self) -> bool:
        """The relay has never answered with an event."""
        return self.largest == 0

    @property
    def is_checked(self) -> bool:
        """Answers were checked that are so long, together, that the relay cannot have passed by chance."""
        return self.checked >= TELLING

    @property
    def varies(self) -> bool:
        """The relay's cap is not the same for every answer."""
        return self.cut_at is not None and self.cut_at < self.surely_sent

    @property
    def surely_sent(self) -> int:
        """The most that one answer had room for, as far as that is sure: rubbish may look alike by chance."""
        return max(self.largest, self.in_place - BY_CHANCE)

    def enough(self, limit: int) -> int:
        """How many events an answer to a REQ with `limit` holds that the relay's cap or our limit has cut."""
        return limit if self.cut_at is None else min(limit, self.cut_at)

    def whole(self, limit: int) -> int:
        """As `enough`, of messages, also those that came in place of events."""
        return limit if self.cut_at is None else min(limit, max(self.cut_at, self.largest, self.longest))

    def is_full(self, count: int, limit: int) -> bool:
        """Whether an answer of `count` events to a REQ with `limit` is as long as this relay's ever are."""
        known_cap = (self.cut_at is not None and not self.varies) or self.hides or self.order is Order.UNTRUSTED
        return count >= min(limit, self.largest if known_cap else max(self.largest, CREDIBLE_CAP))

    def may_be_cut(self, count: int, limit: int) -> bool:
        """Whether an answer of `count` events to a REQ with `limit` may have left events out."""
        if count == 0:
            return False
        return self.is_full(count, limit) or (self.cut_at is not None and count >= self.cut_at)

    @property
    def has_one_cap(self) -> bool:
        """Whether all answers are cut at the same length, as several of them have shown, and none was longer.

        What is no event counts for the length, too: a cap that varies may show by that alone.
        """
        if self.cut_at is None or self.varies:
            return False
        is_shown = self.order is Order.NEWEST_FIRST or self.as_full >= ENOUGH_AS_FULL
        enough = ENOUGH_EQUAL_CUTS if self.longest_cut == self.cut_at else ENOUGH_CUTS
        return is_shown and self.cuts >= enough and self._is_cut_at_one_length

    @property
    def _is_cut_at_one_length(self) -> bool:
        return self.cut_at is not None and self.longest_cut - self.cut_at <= SAME_LENGTH

    @property
    def alike_cuts(self) -> int:
        """The cuts that count in the next run, which knows but one length of them."""
        if self.longest_cut == self.cut_at or (self.cuts >= ENOUGH_CUTS and self._is_cut_at_one_length):
            return min(self.cuts, ENOUGH_CUTS)
        return 0

    def is_cut_by_rejected(self, events: int, rejected: int, limit: int) -> bool:
        """Whether `rejected` messages may have kept others out of an answer that held `events` beside them.

        A cap may vary. So the answer need not be as long as others are, as long as the cap is not known; where it
        is known to vary, a short one is enough.
        """
        most = rejected > events and events + rejected >= LEAST_CAP
        many = not self.has_one_cap and (most or REJECTED_SHARE * rejected >= self.largest)
        short = self.varies and events + rejected >= LEAST_CAP
        near = BY_CHANCE if self.has_one_cap else 0  # it may be lower by what came on top of those that were cut
        return rejected > 0 and (many or short or self.may_be_cut(events + rejected + near, limit))

    def had_room(self, count: int, limit: int) -> bool:
        """Whether the relay has shown that an answer of `count` events need not be cut: it once sent more."""
        return count < self.largest and not self.may_be_cut(count, limit)

    def fell_short(self, count: int, limit: int) -> bool:
        """As `had_room`, or the answer was not half as long as one that also held what came in place of events."""
        return self.had_room(count, limit) or 2 * count <= self.fullest

    def wants_check(self) -> bool:
        """Whether the answer just counted in `cut_pages` is one that is checked: the 1st, 4th, 16th, 64th, …

        And those that came beside the first one, before its check was passed.
        """
        return not self.is_checked or (self.cut_pages.bit_count() == 1 and self.cut_pages.bit_length() % 2 == 1)
