"""What one relay has been seen to do. Learned from its answers, never assumed, kept between runs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigbrotr_dagster.windowing.cuts import TELLING, Cuts, Order
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import Access
from bigbrotr_dagster.windowing.rungs import SMALL_LIMIT, Rung

if TYPE_CHECKING:
    from bigbrotr_dagster.windowing.tasks import Answer, Ask

MESSAGE_BYTES = 4_096
"""Bytes of a REQ, at most: strfry drops a connection for more than `maxWebsocketPayloadSize`, without a word."""

LEAST_MESSAGE_BYTES = 512

AUTHOR_BYTES = 67
"""Bytes that an author takes in a REQ: 64 hex digits, quotes and a comma."""

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
class Habits(Cuts):
    """Mutable notes on one relay, shared by all its walks.

    `since_exclusive`, `until_exclusive`: whether the relay leaves that second itself out, against NIP-01; None
    while no answer has shown it. `rung`: see `Rung`. `limit`: the most events it can be asked for
    at once, None while it takes any number. `pause`: seconds to leave between two requests. `stated_limit`: the
    most events that the relay says it answers at once (NIP-11): the first REQ heeds it, and finds out. `grace`:
    seconds of silence after an EOSE until it counts, for the relay's events were seen to come after it.
    `message_bytes`: the most bytes that we send it in one message. `restricted`: see `Access`.

    Of this run alone: `answers`, how many there were; `rejections`, windows of which either half held nothing but
    what was rejected; `in_vain`, answers that were asked for again for what was rejected, which came again.
    """

    since_exclusive: bool | None = None
    until_exclusive: bool | None = None
    rung: Rung = Rung.FREE
    limit: int | None = None
    pause: float = 0.0
    stated_limit: int | None = None
    grace: float = 0.0
    restricted: Access = Access.UNKNOWN
    message_bytes: int = MESSAGE_BYTES
    answers: int = 0
    rejections: int = 0
    in_vain: int = 0

    def remembered(self) -> dict[str, Any]:
        """What is kept between runs: plain values, by their names here. `restored` takes them."""
        kept = {name: getattr(self, name) for name in (*_KEPT, *_RESTRAINTS, *_TRUST)}
        if not self.is_unknown:
            kept["largest"] = self.surely_sent
        kept["cuts"] = self.alike_cuts
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
                habits.forget_cuts()
            return habits
        habits.rung, habits.limit, habits.pause = Rung(kept["rung"]), kept["limit"], kept["pause"]
        habits.order, habits.cut_pages, habits.hides = Order(kept["order"]), kept["cut_pages"], kept["hides"]
        habits.checked = TELLING if habits.cut_pages > 1 else habits.cut_pages
        return habits

    def learn(self, ask: "Ask", answer: "Answer") -> None:
        """Take note of what any answer shows, whatever was asked for."""
        self.answers += 1
        self.note_length(ask, answer)
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
    def is_restrained(self) -> bool:
        """The relay has taught us to ask for less, or slowly."""
        return self.rung is not Rung.FREE or self.limit is not None or self.pause > 0

    @property
    def keeps_back(self) -> bool:
        """The relay does not give everybody what everybody may ask for: an answer may be short for that."""
        return self.hides or self.restricted not in (Access.UNKNOWN, Access.OPEN)

    def note_false_eose(self, lag: float) -> None:
        """An EOSE was no end: events came `lag` seconds after it. What such answers have taught is forgotten."""
        self.grace = min(LONGEST_GRACE, max(SHORTEST_GRACE, 2 * lag, 2 * self.grace))
        self.forget()

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

    def note_until_exclusive(self) -> None:
        """The relay left out the second of an `until`, though older events came."""
        self.until_exclusive = True

    def note_rejected(self, *, same: bool = False) -> None:
        """A window, or a part of a second, held only what was rejected; the `same` for either half of it."""
        self.rejections += SAME_REJECTIONS if same else 1

    def note_repeated(self, *, in_vain: bool) -> None:
        """An answer was asked for again for what was rejected, `in_vain`; or one had nothing of that."""
        self.in_vain = self.in_vain + 1 if in_vain else self.in_vain // 2

    def note_stated_limit(self, events: int | None) -> None:
        """The relay says how many events it answers at once, at most (NIP-11), if it says that."""
        self.stated_limit = events

    def note_access(self, access: Access) -> None:
        """The relay has shown whether it gives us the restricted kinds."""
        self.restricted = access

    def bounds(self, window: Interval) -> tuple[int, int]:
        """`since` and `until` that bring all of `window`, whatever this relay takes as inclusive.

        A second wider at each end, until the relay has shown that it need not be: that second costs little, and
        makes either habit harmless.
        """
        since = window.since if self.since_exclusive is False else max(0, window.since - 1)
        until = window.until if self.until_exclusive is False else window.until + 1
        return since, until

    def most(self, limit: int) -> int:
        """The `limit` to ask for, where `limit` is what the configuration wants."""
        restrained = min(limit, SMALL_LIMIT) if self.rung.limits else limit
        if self.is_unknown and self.stated_limit is not None:
            restrained = min(restrained, self.stated_limit)
        return min(restrained, self.limit or restrained)
