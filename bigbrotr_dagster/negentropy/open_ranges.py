"""Which ranges are not settled yet: what to ask of them next, and what an answer settles.

Theory of operation
-------------------

Every place in the order of items is at any time in one of three states:

    settled   the relay proved that both sides hold the same there, or listed what it holds
    asked     our last message asks for it, by a fingerprint or by the list of our ids
    pending   neither; it will be asked for

At first everything is pending. A message takes pending ranges from the lowest on, as many as fit; what it skips is
settled or pending. The answer goes through the asked ranges in order, and each of them must be met in one of four
ways:

    the answer               | what it does to the asked range
    -------------------------+-------------------------------------------------------------------------
    skip                     | settles it, equal; only the whole of a range asked by fingerprint
    fingerprint, ours too    | settles what lies in it, equal
    fingerprint, not ours    | what lies in it is pending again, and known to differ if that is all of it
    id list                  | settles what lies in it; the list may not reach beyond one asked range

Anything else leaves open what was asked, and is a contradiction: a list of ours that is skipped (every known relay
program lists in turn), a part of a fingerprint's range that is skipped, a list of what was not asked for.

A relay that reaches its frame limit ends its answer with one fingerprint of all that remains, up to infinity. The
asked ranges within it are asked once more, each for itself: what is settled stays settled, whatever later
fingerprints say. So the settled places only ever grow.

It may be that a relay has no room for its answer to one question alone: known programs list up to 31 ids, which
fit any frame, but nothing forbids to list more. Such an answer would end at the same place for ever. So where not
one question was answered, not even by a skip before the one that has no room, the lowest is asked alone. If that
one differs (an equal one is skipped then), and there is no room still, we split it, down to lists: a list of ours
is answered by as much of the relay's as has room.

A range that is known to differ is asked by 16 fingerprints of as many of our items each, or by the list of our ids
if these are fewer than 32, as the reference implementation does. A range without any item of ours is never asked
by fingerprint. Known programs, at their frame limit, drop the last differing range from their answer, and their
last fingerprint then begins later than its lower bound says: where we had nothing, it could equal ours by mistake,
and events would be lost in silence.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from bigbrotr_dagster.negentropy.errors import ContradictoryAnswer, LimitExceeded
from bigbrotr_dagster.negentropy.items import Items
from bigbrotr_dagster.negentropy.wire import (
    HIGHEST,
    LOWEST,
    NEVER,
    MessageWriter,
    Mode,
    Range,
    read_message,
    time_of,
)

BUCKETS = 16
LIST_BELOW = 2 * BUCKETS
"""Items."""

_LEAST_ASKED = 2 * BUCKETS
"""Ranges in a message, however few the relay answered of the last one."""


class OpenRange(NamedTuple):
    """A range that is not settled: our items `start` to before `stop` lie in it.

    `mode` is how it is asked for (None: not decided, or answered in part). `differs`: the relay holds otherwise.
    """

    lower: bytes
    upper: bytes
    start: int
    stop: int
    mode: Mode | None = None
    differs: bool = False

    def cut(self, bound: bytes, items: Items) -> "tuple[OpenRange, OpenRange | None]":
        """What lies below `bound`, which is above `lower`, and what does not."""
        if self.upper <= bound:
            return self, None
        index = items.find(bound, self.start, self.stop)
        below = OpenRange(self.lower, bound, self.start, index)
        return below, OpenRange(bound, self.upper, index, self.stop)


class OpenRanges:
    """The ranges between a set of ours and a relay's that are not settled."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._asked: list[OpenRange] = []
        self._pending = deque([OpenRange(LOWEST, HIGHEST, 0, len(items), differs=True)])
        self._most: int | None = None
        self.progressed = False
        """Whether the last answer settled anything."""

    def __len__(self) -> int:
        """The number of pending ranges: after an answer, all that are not settled."""
        return len(self._pending)

    @property
    def differing(self) -> int:
        """How many pending ranges are known to differ; each hides one id at least."""
        return sum(part.differs for part in self._pending)

    @property
    def unsettled(self) -> int:
        """How many of our items lie in pending ranges."""
        return sum(part.stop - part.start for part in self._pending)

    @property
    def settled_until(self) -> int:
        """The second below which nothing is pending."""
        return time_of(self._pending[0].lower) if self._pending else NEVER

    def ask(self, limit: int) -> bytes:
        """The next message, of at most `limit` bytes; it asks for the lowest pending ranges."""
        writer = MessageWriter(limit)
        self._asked = []
        fits = True
        while fits and self._pending and (self._most is None or len(self._asked) < self._most):
            questions = deque(self._questions(self._pending.popleft()))
            while questions and (fits := self._write(questions[0], writer)):
                self._asked.append(questions.popleft())
            self._pending.extendleft(reversed(questions))
        return writer.finish()

    def _questions(self, part: OpenRange) -> Iterator[OpenRange]:
        count = part.stop - part.start
        if part.mode is not None:
            yield part
        elif count and not part.differs:
            yield part._replace(mode=Mode.FINGERPRINT)
        elif count < LIST_BELOW:
            yield part._replace(mode=Mode.ID_LIST)
        else:
            lower, start = part.lower, part.start
            for bucket in range(1, BUCKETS + 1):
                stop = start + count // BUCKETS + (bucket <= count % BUCKETS)
                upper = part.upper if bucket == BUCKETS else self._items.bound_before(stop)
                yield OpenRange(lower, upper, start, stop, Mode.FINGERPRINT)
                lower, start = upper, stop

    def _write(self, part: OpenRange, writer: MessageWriter) -> bool:
        if part.mode is Mode.FINGERPRINT:
            payload = self._items.fingerprint(part.start, part.stop)
        else:
            payload = self._items.ids(part.start, part.stop)
        return writer.add(part.lower, part.upper, part.mode or Mode.ID_LIST, payload)

    def compare(self, answer: bytes, most: int) -> Iterator[tuple[Range, int, int]]:
        """Take the answer to the last message, of `most` ranges at most; it has to be iterated to its end.

        Yields:
            A range of which the relay lists the ids, and where our items in it start and stop.

        Raises:
            MalformedMessage, ContradictoryAnswer, LimitExceeded: What was settled before that is of no worth.
        """
        left: list[OpenRange] = []
        waiting = iter(self._asked)
        part = next(waiting, None)
        repeated, self.progressed = 0, False
        for number, found in enumerate(read_message(answer), 1):
            if number > most:
                raise LimitExceeded("answer_limit", f"the answer has more than {most} ranges")
            _check_list(found, part)
            equal: bool | None = None
            while part is not None and part.lower < found.upper:
                piece, rest = part.cut(found.upper, self._items)
                if found.mode is Mode.ID_LIST:
                    yield found, piece.start, piece.stop
                elif found.mode is Mode.SKIP:
                    _check_skip(piece)
                elif not (equal := self._equals(found, piece) if equal is None else equal):
                    differs = (found.lower, found.upper) == (piece.lower, piece.upper)
                    repeated += piece is part and not differs
                    left.append(piece._replace(mode=None, differs=differs))
                self.progressed |= not left or left[-1].upper != piece.upper
                part = rest if rest is not None else next(waiting, None)
        self._pending.extendleft(reversed(left))
        self._pace(repeated)

    def _equals(self, found: Range, piece: OpenRange) -> bool:
        """Whether `found`, a fingerprint of `piece` and perhaps of more on either side, is ours too."""
        items, start, stop = self._items, piece.start, piece.stop
        if found.lower < piece.lower:
            start = items.find(found.lower, 0, start)
        if found.upper > piece.upper:
            stop = items.find(found.upper, stop, len(items))
        return items.fingerprint(start, stop) == found.payload

    def _pace(self, repeated: int) -> None:
        """Ask for twice what the relay had room to answer, if that was not all: the rest was sent in vain."""
        if repeated and repeated == len(self._asked):
            self._most = 1
            if repeated == 1:
                self._pending[0] = self._pending[0]._replace(differs=True)
        elif repeated:
            self._most = max(_LEAST_ASKED, 2 * (len(self._asked) - repeated))
        elif self._most is not None:
            self._most *= 2


def _check_list(found: Range, part: OpenRange | None) -> None:
    if found.mode is not Mode.ID_LIST or (found.lower == found.upper and not found.payload):
        return
    if part is None or found.lower < part.lower or found.upper > part.upper or found.lower == found.upper:
        raise ContradictoryAnswer(f"ids are listed {_between(found.lower, found.upper)}, which was not asked for")


def _check_skip(piece: OpenRange) -> None:
    if piece.mode is Mode.ID_LIST:
        raise ContradictoryAnswer(f"the list of our ids {_between(piece.lower, piece.upper)} was not answered")
    if piece.mode is None:
        raise ContradictoryAnswer(f"what is asked {_between(piece.lower, piece.upper)} was answered in part")


def _between(lower: bytes, upper: bytes) -> str:
    until = "infinity" if upper == HIGHEST else str(time_of(upper))
    return f"from second {time_of(lower)} to {until}"
