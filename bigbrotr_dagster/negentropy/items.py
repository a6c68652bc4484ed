"""Our side's set: sorted once, then fingerprints of any range at the same small price.

All keys (see `wire`) lie one after another in a single `bytes`: 40 bytes an item, and none of them is a Python
object of its own. Sums of ids are kept at every 16th item, so that a range's sum is the difference of two of them,
put right by at most 15 ids at either end. That makes 45 bytes an item, 13 of them beyond the id itself; while the
set is sorted it is some 90 bytes, for each key is an object then.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from bigbrotr_dagster.negentropy.wire import ID_SIZE, MODULUS, NEVER, TIME_SIZE, fingerprint

KEY_SIZE = TIME_SIZE + ID_SIZE
"""Bytes."""

STRIDE = 16
"""Items between two sums that are kept."""

_JOINED_AT_ONCE = 4_096
"""Items."""


class Items:
    """A set of (created_at, id), in the protocol's order. Indexes are places in that order."""

    __slots__ = ("_keys", "_size", "_sums")

    def __init__(self, items: Iterable[tuple[int, bytes]]) -> None:
        """Take the items, in any order; an item that comes twice counts once.

        Args:
            items: Seconds (Unix time, 0 to 2^64 - 2) and id (32 bytes). An id belongs to one time only.

        Raises:
            ValueError: An item is none.
        """
        keys = _sorted_keys(items)
        self._size = len(keys)
        self._keys = _joined(keys)
        self._sums = list(self._running_sums())

    def _running_sums(self) -> Iterator[int]:
        total = 0
        for start in range(0, self._size + 1, STRIDE):
            yield total
            total = (total + self._sum(start, min(start + STRIDE, self._size))) % MODULUS

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> bytes:
        """The key at `index`, which is not negative."""
        if index >= self._size:
            raise IndexError(index)
        return self._keys[KEY_SIZE * index : KEY_SIZE * (index + 1)]

    def id(self, index: int) -> bytes:
        """The id at `index`."""
        return self._keys[KEY_SIZE * index + TIME_SIZE : KEY_SIZE * (index + 1)]

    def ids(self, start: int, stop: int) -> bytes:
        """The ids from `start` to before `stop`, one after another."""
        return b"".join([self.id(index) for index in range(start, stop)])

    def find(self, bound: bytes, start: int, stop: int) -> int:
        """The index of the first item that is not below `bound`, which lies between `start` and `stop`."""
        return bisect_left(self, bound, start, stop)

    def fingerprint(self, start: int, stop: int) -> bytes:
        """The fingerprint of the items from `start` to before `stop`."""
        total = self._sum(start, stop) if stop - start <= STRIDE else self._sum_to(stop) - self._sum_to(start)
        return fingerprint(total, stop - start)

    def bound_before(self, index: int) -> bytes:
        """The shortest bound that has the item at `index` above it, and the one before that below it."""
        before, after = self[index - 1], self[index]
        if before[:TIME_SIZE] != after[:TIME_SIZE]:
            return after[:TIME_SIZE]
        place = next(place for place in range(TIME_SIZE, KEY_SIZE) if before[place] != after[place])
        return after[: place + 1]

    def _sum(self, start: int, stop: int) -> int:
        keys, read = self._keys, int.from_bytes
        places = range(KEY_SIZE * start + TIME_SIZE, KEY_SIZE * stop, KEY_SIZE)
        return sum([read(keys[place : place + ID_SIZE], "little") for place in places])

    def _sum_to(self, stop: int) -> int:
        whole = stop // STRIDE
        return self._sums[whole] + self._sum(STRIDE * whole, stop)


def _sorted_keys(items: Iterable[tuple[int, bytes]]) -> list[bytes]:
    try:
        keys = [created_at.to_bytes(TIME_SIZE, "big") + id for created_at, id in items]
    except OverflowError as exc:
        raise ValueError(f"an item's time is from 0 to {NEVER - 1}") from exc
    if not keys:
        return keys
    sizes = {len(key) for key in keys} - {KEY_SIZE}
    if sizes:
        raise ValueError(f"an id has {sizes.pop() - TIME_SIZE} bytes, expected {ID_SIZE}")
    keys.sort()
    if keys[-1] >= NEVER.to_bytes(TIME_SIZE, "big"):
        raise ValueError(f"an item's time is {NEVER}, which stands for infinity")
    if any(one == other for one, other in pairwise(keys)):
        keys = [key for key, following in pairwise([*keys, b""]) if key != following]
    return keys


def _joined(keys: list[bytes]) -> bytes:
    """The keys one after another; `keys` is emptied on the way, for they take more room apart than together.

    `bytes.join` by itself would take another 80 bytes an item.
    """
    parts: list[bytes] = []
    while keys:
        parts.append(b"".join(keys[-_JOINED_AT_ONCE:]))
        del keys[-_JOINED_AT_ONCE:]
    return b"".join(reversed(parts))
