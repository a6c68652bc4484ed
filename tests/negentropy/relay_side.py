"""The relay's side of NIP-77, written from the protocol's document alone; only `talk` knows our side.

It answers as the programs in use do (strfry, nostr-sdk, khatru), byte by byte: 16 buckets, a list where it holds
fewer than 32 items or was sent a list; at its frame limit it drops what no longer fits, and ends with one
fingerprint of all that remains, though the bound before may lie below what that fingerprint is of.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import accumulate
from typing import NamedTuple

from bigbrotr_dagster.negentropy import Reconciliation

Item = tuple[int, bytes]
Bound = tuple[int, bytes]
"""A time and the beginning of an id; both sort as the protocol sorts."""

FOREVER = 2**64 - 1
INFINITY: Bound = (FOREVER, b"")
SKIP, FINGERPRINT, ID_LIST = 0, 1, 2
MODULUS = 2**256


class Sent(NamedTuple):
    """One range of a message; `said` is a fingerprint, or the ids of a list."""

    upper: Bound
    mode: int
    said: bytes | list[bytes]


def varint(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    head = varint(number // 128)
    return head[:-1] + bytes([head[-1] + 128, number % 128])


class Writer:
    """Ranges to bytes, one after another."""

    def __init__(self) -> None:
        self._time = 0

    def __call__(self, sent: Sent) -> bytes:
        time, prefix = sent.upper
        offset = 0 if time == FOREVER else 1 + time - self._time
        self._time = time
        said = varint(len(sent.said)) + b"".join(sent.said) if isinstance(sent.said, list) else sent.said
        return varint(offset) + varint(len(prefix)) + prefix + varint(sent.mode) + said


def written(ranges: Iterable[Sent]) -> bytes:
    """A message."""
    return b"\x61" + b"".join(map(Writer(), ranges))


def read(message: bytes) -> list[Sent]:
    """The ranges of a message that we believe to be right."""
    assert message[0] == 0x61
    left, time, ranges = memoryview(message)[1:], 0, []

    def number() -> int:
        nonlocal left
        value = 0
        while True:
            digit, left = left[0], left[1:]
            value = value * 128 + digit % 128
            if digit < 128:
                return value

    def take(size: int) -> bytes:
        nonlocal left
        assert len(left) >= size
        taken, left = bytes(left[:size]), left[size:]
        return taken

    while left:
        offset = number()
        time = FOREVER if offset == 0 else time + offset - 1
        upper = (time, take(number()))
        mode = number()
        if mode == ID_LIST:
            ranges.append(Sent(upper, mode, [take(32) for _ in range(number())]))
        else:
            ranges.append(Sent(upper, mode, take(16 if mode == FINGERPRINT else 0)))
    return ranges


class RelaySide:
    """A relay that holds `items`; its answers have about `frame` bytes at most (0: any number)."""

    def __init__(self, items: Iterable[Item], frame: int = 0, buckets: int = 16, list_below: int = 32) -> None:
        self.items = sorted(set(items))
        self._frame = frame
        self._buckets = buckets
        self._list_below = list_below
        self._sums = [0, *accumulate(int.from_bytes(id, "little") for _, id in self.items)]

    def index(self, bound: Bound) -> int:
        return bisect_left(self.items, bound)

    def fingerprint(self, start: int, stop: int) -> bytes:
        total = (self._sums[stop] - self._sums[start]) % MODULUS
        return sha256(total.to_bytes(32, "little") + varint(stop - start)).digest()[:16]

    def ids(self, start: int, stop: int) -> list[bytes]:
        return [id for _, id in self.items[start:stop]]

    def split(self, start: int, stop: int, upper: Bound) -> list[Sent]:
        """What to say of the items from `start` to before `stop`, up to `upper`, if they differ."""
        count = stop - start
        if count < self._list_below:
            return [Sent(upper, ID_LIST, self.ids(start, stop))]
        ranges = []
        for number in range(self._buckets):
            end = start + count // self._buckets + (number < count % self._buckets)
            bound = upper if end == stop else shortest(self.items[end - 1], self.items[end])
            ranges.append(Sent(bound, FINGERPRINT, self.fingerprint(start, end)))
            start = end
        return ranges

    def answer(self, message: bytes) -> bytes:
        """What to send in answer to `message`."""
        writer, data = Writer(), b"\x61"
        start, lower, skipping = 0, (0, b""), False
        for upper, mode, said in read(message):
            stop = self.index(upper)
            mine: list[Sent] = []
            if mode == FINGERPRINT and said != self.fingerprint(start, stop):
                mine = self.split(start, stop, upper)
            elif mode == ID_LIST:
                stop = min(stop, start + self._room(len(data)))
                end = upper if stop == self.index(upper) else self.items[stop]
                mine = [Sent(end, ID_LIST, self.ids(start, stop))]
            if mine and skipping:
                mine.insert(0, Sent(lower, SKIP, b""))
            encoded = b"".join(map(writer, mine))
            full = self._frame and len(data) + len(encoded) > self._frame - 200
            if not full or mode == ID_LIST:
                data += encoded
            if full:
                return data + writer(Sent(INFINITY, FINGERPRINT, self.fingerprint(stop, len(self.items))))
            skipping = not mine
            start, lower = stop, upper
        return data

    def _room(self, size: int) -> int:
        """How many ids a list takes that begins after `size` bytes: the last one may exceed the limit."""
        return (self._frame - 200 - size) // 32 + 1 if self._frame else len(self.items)


def shortest(before: Item, after: Item) -> Bound:
    """The shortest bound between two items."""
    if before[0] != after[0]:
        return after[0], b""
    same = next(place for place in range(32) if before[1][place] != after[1][place])
    return after[0], after[1][: same + 1]


class Talk(NamedTuple):
    """A conversation: what we sent, and what came back."""

    sent: list[bytes]
    received: list[bytes]


def talk(client: Reconciliation, answer: Callable[[bytes], bytes]) -> Talk:
    """Let `client` ask `answer` until it has no more to ask."""
    heard = Talk([], [])
    message: bytes | None = client.open()
    while message is not None:
        heard.sent.append(message)
        heard.received.append(answer(message))
        message = client.answered(heard.received[-1])
    return heard
