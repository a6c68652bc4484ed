"""One conversation with a relay: our set in, what either side lacks out.

What is proved
--------------

When `answered` returns None, the relay has claimed of every place in the window (all the filter of the NEG-OPEN
lets through) that it holds

    our items there, without those in `have`, and with those in `need`

and each claim is either a fingerprint, equal to ours, or a list. Nothing is concluded from what a relay leaves out
(see `open_ranges`). Before that, the same is proved of every second below `settled_until`, for ranges are settled
from the lowest on. It is proved for the moment of the relay's answers, and as far as the relay tells the truth: a
relay can claim ids that it does not hold, and hide what it holds.

What is bounded
---------------

A message of ours has at most `frame_limit` bytes, an answer at most `answer_limit`; `need`, `have`, the open
ranges and the rounds have a bound each, and `MAX_STALLED` rounds in a row may settle nothing. The set takes 45
bytes an item (90 while it is sorted), an id in `need` 135, one in `have` 165, an open range 200. So a relay makes
us hold at most 50 MB beyond the set and one answer, with the bounds as they are by default. The longest answer
takes 0.1 to 0.35 s of CPU, whatever is in it; sorting takes 1 us an item.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from bigbrotr_dagster.negentropy.differences import Differences
from bigbrotr_dagster.negentropy.errors import EndlessConversation, LimitExceeded
from bigbrotr_dagster.negentropy.items import Items
from bigbrotr_dagster.negentropy.open_ranges import OpenRanges

FRAME_LIMIT = 60_000
"""Bytes of a message of ours: 120,000 hex digits, which fit the 128 KiB that strfry takes."""

ANSWER_LIMIT = 500_000
"""Bytes of an answer: 1,000,000 hex digits, the most that strfry sends."""

RANGE_SIZE = 16
"""Bytes of an answer that allow it one range: a fingerprint takes more, and all else comes in small numbers."""

LEAST_FRAME = 4_096
"""Bytes; the reference implementation's least, too. One range takes less than 1,200."""

MAX_STALLED = 16
"""Rounds in a row that may settle nothing.

An honest one makes ranges 256 times smaller: four do for any set. One without room for its answer to one question
(see `open_ranges`) makes them 16 times smaller in two rounds, down to a list, which settles something: ten do.
"""


class Estimate(NamedTuple):
    """What is known of the rest of a conversation, after any answer.

    `relay_size`: items that the relay holds in the window; exact once finished, until then what is settled, and
    the rest of our items times the ratio seen so far. `unsettled`: our items of which nothing is known; `have`
    grows by no more. `differences`: ids that `need` and `have` will grow by, at least.
    """

    relay_size: int
    unsettled: int
    differences: int


class _State(Enum):
    NEW = auto()
    ASKED = auto()
    FINISHED = auto()
    FAILED = auto()


class Reconciliation:
    """The client's side of one NIP-77 conversation; neither I/O nor a clock.

        reconciliation = Reconciliation(items)
        message = reconciliation.open()            # the hex of it goes into NEG-OPEN
        while message is not None:
            answer = ...                           # the bytes of the relay's NEG-MSG
            message = reconciliation.answered(answer)
            for id in reconciliation.take_need():
                ...

    After an error it is of no more use: what `need`, `have` and `settled_until` say is then as of the answers
    before, except that ids of the last one may be among them. Where a relay contradicted itself that is worth
    nothing.
    """

    def __init__(
        self,
        items: Iterable[tuple[int, bytes]],
        *,
        frame_limit: int = FRAME_LIMIT,
        answer_limit: int = ANSWER_LIMIT,
        max_need: int = 100_000,
        max_have: int = 100_000,
        max_open: int = 100_000,
        max_rounds: int = 1_000,
    ) -> None:
        """Sort the items that we hold in the window.

        Args:
            items: created_at (seconds, Unix time) and id (32 bytes) of each, in any order; twice counts once.
            frame_limit: Most bytes of a message of ours, at least 4,096.
            answer_limit: Most bytes of an answer; it may have one range for 16 of them.
            max_need: Most ids that the relay may have and we not.
            max_have: Most ids that we may have and the relay not.
            max_open: Most ranges that may be open at a time.
            max_rounds: Most answers. A relay with the smallest frames lists 120 ids in each.

        Raises:
            ValueError: An item is none, or `frame_limit` is too small.
        """
        if frame_limit < LEAST_FRAME:
            raise ValueError(f"frame_limit is {frame_limit}, expected at least {LEAST_FRAME}")
        self._items = Items(items)
        self._frame_limit = frame_limit
        self._answer_limit = answer_limit
        self._max_need, self._max_have = max_need, max_have
        self._max_open = max_open
        self._max_rounds = max_rounds
        self.rounds = 0
        """Answers taken."""
        self._begin()

    def _begin(self) -> None:
        self._open = OpenRanges(self._items)
        self._differences = Differences(self._max_need, self._max_have)
        self._state = _State.NEW
        self._stalled = 0
        self.settled_until = 0
        """Every second before this one is settled; 2^64 - 1 once all are."""
        self.estimate = Estimate(len(self._items), len(self._items), 0)

    @property
    def size(self) -> int:
        """How many items we hold, each counted once."""
        return len(self._items)

    @property
    def finished(self) -> bool:
        """Whether everything is settled."""
        return self._state is _State.FINISHED

    @property
    def need(self) -> Mapping[bytes, tuple[int, int]]:
        """Ids that the relay has and we do not, and since and until when (seconds, inclusive) each must lie."""
        return MappingProxyType(self._differences.need)

    @property
    def have(self) -> Mapping[bytes, int]:
        """Ids that we have and the relay does not, and the `created_at` of each."""
        return MappingProxyType(self._differences.have)

    def take_need(self) -> list[bytes]:
        """The ids that came to `need` since this was called last."""
        taken, self._differences.fresh_need = self._differences.fresh_need, []
        return taken

    def take_have(self) -> list[bytes]:
        """The ids that came to `have` since this was called last."""
        taken, self._differences.fresh_have = self._differences.fresh_have, []
        return taken

    def open(self) -> bytes:
        """The first message."""
        if self._state is not _State.NEW:
            raise RuntimeError("the conversation is open already")
        self._state = _State.ASKED
        return self._open.ask(self._frame_limit)

    def again(self) -> bytes:
        """Forget every answer, and what was found by them: another set is compared from now on.

        `rounds` go on, and so does the bound on them.

        Returns:
            The first message, the same as from `open`.
        """
        self._begin()
        return self.open()

    def answered(self, answer: bytes) -> bytes | None:
        """Take the relay's answer to the last message.

        Returns:
            The next message, or None: everything is settled.

        Raises:
            MalformedMessage, ContradictoryAnswer, EndlessConversation, LimitExceeded: See `errors`.
            RuntimeError: Nothing was asked: not yet, or no more.
        """
        if self._state is not _State.ASKED:
            raise RuntimeError(f"an answer is not expected, the conversation is {self._state.name.lower()}")
        self._state = _State.FAILED
        self._take(answer)
        if not self._open:
            self._state = _State.FINISHED
            return None
        self._check_bounds()
        self._state = _State.ASKED
        return self._open.ask(self._frame_limit)

    def _take(self, answer: bytes) -> None:
        if len(answer) > self._answer_limit:
            raise LimitExceeded("answer_limit", f"the answer has {len(answer)} bytes")
        for listed, start, stop in self._open.compare(answer, self._answer_limit // RANGE_SIZE):
            self._differences.compare(listed, self._items, start, stop)
        if not self._open:
            self._differences.check(self._items)
        self.rounds += 1
        self.settled_until = self._open.settled_until
        self.estimate = self._estimated()

    def _check_bounds(self) -> None:
        self._stalled = 0 if self._open.progressed else self._stalled + 1
        if self._stalled > MAX_STALLED:
            raise EndlessConversation(f"{self._stalled} answers in a row settled nothing")
        if self.rounds >= self._max_rounds:
            raise EndlessConversation(f"{self.rounds} answers settled the seconds below {self.settled_until} only")
        if len(self._open) > self._max_open:
            raise LimitExceeded("max_open", f"{len(self._open)} ranges are open")

    def _estimated(self) -> Estimate:
        unsettled = self._open.unsettled
        settled = len(self._items) - unsettled
        theirs = settled + len(self._differences.need) - len(self._differences.have)
        rest = unsettled * theirs // settled if settled else unsettled
        return Estimate(theirs + rest, unsettled, self._open.differing)
