"""What one relay has been seen to do. Learned from its answers, never assumed, kept between runs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import Access
from bigbrotr_dagster.windowing.rungs import SMALL_LIMIT, Rung

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


class Order(StrEnum):
    """Whether a cut answer can be taken to hold the newest events of its window (NIP-01)."""

    NEWEST_FIRST = "newest-first"
    UNTRUSTED = "untrusted"


MESSAGE_BYTES = 4_096
"""Bytes of a REQ, at most: strfry drops a connection for more than `maxWebsocketPayloadSize`, without a word."""

LEAST_MESSAGE_BYTES = 512

AUTHOR_BYTES = 67
"""Bytes that an author takes in a REQ: 64 hex digits, quotes and a comma."""

REJECTED_SHARE = 10
"""What was rejected is suspected of having filled an answer where that is one in so many of the largest answer."""

MOST_REJECTIONS = 400
"""Windows of one run that may be halved, and seconds narrowed, though only such things come as are rejected."""

SAME_REJECTIONS = 32
"""A window counts for so many where the same things come for either half: then the bounds do not help."""

SHORTEST_GRACE, LONGEST_GRACE = 0.1, 5.0
"""Seconds that events are waited for after the EOSE of a relay that says it too early."""

MEMORY = 86_400.0
"""Seconds after which the restraints that a relay has taught us are forgotten."""

_KEPT = ("largest", "cut_at", "cuts", "since_exclusive", "until_exclusive", "grace", "restricted")
_RESTRAINTS = ("rung", "limit", "pause")
_TRUST = ("order", "cut_pages", "hides")


def is_forgotten(age: float) -> bool:
    """Whether what was learned so many seconds ago is to be learned anew."""
    return age > MEMORY


@dataclass(slots=True)
class Habits:
    """Mutable notes on one relay, shared by all its walks.

    `largest`: the most events of what was asked for that one answer ever brought: the relay's cap is no smaller.
    `cut_at`: the fewest events of an answer that was later proved cut, because its window turned out to hold
    more; None while that never happened; `cuts`, how many such answers there were. `since_exclusive`,
    `until_exclusive`: whether the relay leaves that second itself out, against NIP-01; None while no answer has
    shown it. `cut_pages`: answers that may have been cut, so far; some of them are checked. `checked`: events of
    the answers for which a check was passed. `hides`: the relay removes events after counting its limit, so that
    short and even empty answers prove nothing. `rung`: see `Rung`. `limit`: the most events it can be asked for
    at once, None while it takes any number. `pause`: seconds to leave between two requests. `stated_limit`: the
    most events that the relay says it answers at once (NIP-11): the first REQ heeds it, and finds out. `grace`:
    seconds of silence after an EOSE until it counts, for the relay's events were seen to come after it.
    `message_bytes`: the most bytes that we send it in one message. `restricted`: see `Access`.

    Of this run alone: `answers`, how many there were; `longest`, the most messages that one answer brought, asked
    for or not; `fullest`, the most of them that were asked for, or came in place of what was, and `as_full`, how
    many answers were as long; `in_place`, the most of them in one answer that certainly took up room: events, and
    what came again in their place; `longest_cut`, the most events of an answer that was proved cut; `rejections`,
    windows of which either half held nothing but what was rejected; `in_vain`, answers that were asked for again
    for what was rejected, which came again.
    """

    largest: int = 0
    cut_at: int | None = None
    cuts: int = 0
    since_exclusive: bool | None = None
    until_exclusive: bool | None = None
    order: Order = Order.NEWEST_FIRST
    cut_pages: int = 0
    checked: int = 0
    hides: bool = False
    rung: Rung = Rung.FREE
    limit: int | None = None
    pause: float = 0.0
    stated_limit: int | None = None
    grace: float = 0.0
    restricted: Access = Access.UNKNOWN
    message_bytes: int = MESSAGE_BYTES
    answers: int = 0
    longest: int = 0
    fullest: int = 0
    as_full: int = 0
    in_place: int = 0
    rejections: int = 0
    in_vain: int = 0
    longest_cut: int = 0

    def remembered(self) -> dict[str, Any]:
        """What is kept between runs: plain values, by their names here. `restored` takes them."""
        kept = {name: getattr(self, name) for name in (*_KEPT, *_RESTRAINTS, *_TRUST)}
        if not self.is_unknown:
            kept["largest"] = self._surely_sent
        kept["cuts"] = self._alike_cuts
        if not self.is_checked:  # what was not checked does not count: the next run checks its first one
            kept["cut_pages"] = min(self.cut_pages, self.checked, 1)
        return kept

    @classmethod
    def restored(cls, kept: Mapping[str, Any], age: float) -> "Habits":
        """The habits that `kept` holds, whose restraints were learned `age` seconds ago.

        What makes us modest is forgotten after a day, and learned anew if it still holds. A false EOSE is not:
        where nothing comes before it, nothing is left to learn it from.
        """
        habits = cls(**{name: kept[name] for name in _KEPT})
        habits.restricted = Access(habits.restricted)
        habits.longest_cut = habits.cut_at or 0
        if is_forgotten(age):
            if habits.varies:  # a short answer may have been short by chance
                habits._forget_cuts()
            return habits
        habits.rung, habits.limit, habits.pause = Rung(kept["rung"]), kept["limit"], kept["pause"]
        habits.order, habits.cut_pages, habits.hides = Order(kept["order"]), kept["cut_pages"], kept["hides"]
        habits.checked = TELLING if habits.cut_pages > 1 else habits.cut_pages
        return habits

    def learn(self, ask: "Ask", answer: "Answer") -> None:
        """Take note of what any answer shows, whatever was asked for."""
        self.answers += 1
        self.longest = max(self.longest, answer.messages)
        if not ask.is_larger:  # its length says nothing of answers to our usual limit
            self.largest = max(self.largest, len(answer.events))
            size = max(self.largest, answer.size)
            self.as_full = self.as_full + (answer.size == size) if size == self.fullest else 1
            self.fullest = max(self.fullest, size)
        if not ask.is_narrow:  # some relays take other paths for those
            self._note_bounds(ask.since, ask.until, (event.created_at for event in answer.events))

    @property
    def most_authors(self) -> int:
        """So many authors one filter may name."""
        return max(1, (self.message_bytes - 256) // AUTHOR_BYTES)  # 256: the rest of the REQ

    def heed_message_length(self, stated: int | None) -> None:
        """The relay says what the most bytes of a message are (NIP-11), if it says that."""
        if stated is not None:
            self.message_bytes = max(LEAST_MESSAGE_BYTES, min(self.message_bytes, stated))

    def ask_in_fewer_bytes(self) -> bool:
        """Send half as much in one message from now on; False where that is as little as can be."""
        if self.message_bytes <= LEAST_MESSAGE_BYTES:
            return False
        self.message_bytes = max(LEAST_MESSAGE_BYTES, self.message_bytes // 2)
        return True

    @property
    def is_checked(self) -> bool:
        """Answers were checked that are so long, together, that the relay cannot have passed by chance."""
        return self.checked >= TELLING

    @property
    def is_unknown(self) -> bool:
        """The relay has never answered with an event."""
        return self.largest == 0

    @property
    def is_restrained(self) -> bool:
        """The relay has taught us to ask for less, or slowly."""
        return self.rung is not Rung.FREE or self.limit is not None or self.pause > 0

    @property
    def keeps_back(self) -> bool:
        """The relay does not give everybody what everybody may ask for: an answer may be short for that."""
        return self.hides or self.restricted not in (Access.UNKNOWN, Access.OPEN)

    @property
    def varies(self) -> bool:
        """The relay's cap is not the same for every answer."""
        return self.cut_at is not None and self.cut_at < self._surely_sent

    @property
    def _surely_sent(self) -> int:
        """The most that one answer had room for, as far as that is sure: rubbish may look alike by chance."""
        return max(self.largest, self.in_place - BY_CHANCE)

    def enough(self, limit: int) -> int:
        """How many events an answer to a REQ with `limit` holds that the relay's cap or our limit has cut."""
        return limit if self.cut_at is None else min(limit, self.cut_at)

    def whole(self, limit: int) -> int:
        """As `enough`, of messages, also those that came in place of events."""
        return limit if self.cut_at is None else min(limit, max(self.cut_at, self.largest, self.longest))

    def note_false_eose(self, lag: float) -> None:
        """An EOSE was no end: events came `lag` seconds after it. What such answers have taught is forgotten."""
        self.grace = min(LONGEST_GRACE, max(SHORTEST_GRACE, 2 * lag, 2 * self.grace))
        self.order, self.hides, self.cut_pages, self.checked = Order.NEWEST_FIRST, False, 0, 0
        self._forget_cuts()

    def note_eose(self, before: int, late: int, silence: float) -> None:
        """An EOSE came with so many events before and after it; the longest `silence` before one of these."""
        if late:  # where it had grown for a hiccup, it shrinks again
            self.grace = min(LONGEST_GRACE, max(SHORTEST_GRACE, 0.8 * self.grace, 2 * silence))
        elif before and self.grace:
            self.grace = self.grace / 2 if self.grace > SHORTEST_GRACE else 0.0

    def _note_bounds(self, since: int, until: int, created_at: Iterable[int]) -> None:
        """Learn from the seconds of one answer's events, and the bounds asked for.

        One event of the last second is no evidence: a relay can send just that (nostr-relay on LMDB).
        """
        times = Counter(created_at)
        if since in times:
            self.since_exclusive = False
        if times[until] > 1 and self.until_exclusive is None:
            self.until_exclusive = False

    def note_spare(self, answer: "Answer", window: Interval, ask: "Ask") -> bool:
        """Learn from the seconds around `window` that were asked for without need, came, and took room.

        Returns whether `window` is asked for in other bounds from now on.
        """
        spare = answer.spare(window)
        if ask.since in spare and self.since_exclusive is None:
            self.since_exclusive = False
        if ask.until in spare and self.until_exclusive is None:
            self.until_exclusive = False
        return bool(spare) and self.bounds(window) != (ask.since, ask.until)

    def note_cut(self, count: int, limit: int) -> None:
        """An answer of `count` events to a REQ with `limit` has turned out to be cut, by the relay itself.

        Of a relay that hides events after counting them, a short answer says nothing about its cap.
        """
        if 0 < count < limit and not self.hides:
            self.cut_at = count if self.cut_at is None else min(self.cut_at, count)
            self.cuts += 1
            self.longest_cut = max(self.longest_cut, count)

    def note_until_exclusive(self) -> None:
        """The relay left out the second of an `until`, though older events came."""
        self.until_exclusive = True

    def note_cut_page(self) -> None:
        """One more answer may have been cut at its old end."""
        self.cut_pages += 1

    def note_checked(self, events: int) -> None:
        """An answer of so many events was cut at its old end, as a check has shown."""
        self.checked += events

    def distrust(self) -> None:
        """A cut answer did not hold the newest events of its window."""
        self.order = Order.UNTRUSTED

    def note_rejected(self, *, same: bool = False) -> None:
        """A window, or a part of a second, held only what was rejected; the `same` for either half of it."""
        self.rejections += SAME_REJECTIONS if same else 1

    def note_repeated(self, *, in_vain: bool) -> None:
        """An answer was asked for again for what was rejected, `in_vain`; or one had nothing of that."""
        self.in_vain = self.in_vain + 1 if in_vain else self.in_vain // 2

    def note_in_place(self, count: int) -> None:
        """An answer had room for so many: events, and what had come in their place before, and came again."""
        self.in_place = max(self.in_place, count)

    def note_stated_limit(self, events: int | None) -> None:
        """The relay says how many events it answers at once, at most (NIP-11), if it says that."""
        self.stated_limit = events

    def note_access(self, access: Access) -> None:
        """The relay has shown whether it gives us the restricted kinds."""
        self.restricted = access

    def note_hiding(self) -> None:
        """A short answer did not show what is there, though it was not cut."""
        self.hides = True
        if self.varies:
            self._forget_cuts()

    def _forget_cuts(self) -> None:
        self.cut_at, self.cuts, self.longest_cut = None, 0, 0

    def bounds(self, window: Interval) -> tuple[int, int]:
        """`since` and `until` that bring all of `window`, whatever this relay takes as inclusive.

        A second wider at each end, until the relay has shown that it need not be: that second costs little, and
        makes either habit harmless.
        """
        since = window.since if self.since_exclusive is False else max(0, window.since - 1)
        until = window.until if self.until_exclusive is False else window.until + 1
        return since, until

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
    def _alike_cuts(self) -> int:
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

    def most(self, limit: int) -> int:
        """The `limit` to ask for, where `limit` is what the configuration wants."""
        restrained = min(limit, SMALL_LIMIT) if self.rung.limits else limit
        if self.is_unknown and self.stated_limit is not None:
            restrained = min(restrained, self.stated_limit)
        return min(restrained, self.limit or restrained)
