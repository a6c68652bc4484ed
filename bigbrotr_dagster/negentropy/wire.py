"""The messages of Negentropy version 1: bytes to ranges, and ranges to bytes.

    Message  = version (0x61) Range*
    Range    = upper Bound, mode (varint), payload
    Bound    = time (varint: 0 is infinity, else 1 + what it is above the bound before), length (varint), id prefix
    payload  = nothing (skip) | 16 bytes (fingerprint) | count (varint), so many ids of 32 bytes (id list)
    varint   = base 128, most significant digit first, as few digits as possible, bit 8 set on all but the last

Source: NIP-77 and its appendix "Negentropy Protocol V1".

A range has only an upper bound, which it does not include; its lower one is the upper bound of the range before,
and the lowest of all for the first. So the ranges of a message cover everything once, in order; what comes after
the last one is skipped.

Representation of places. An item is sorted by (created_at, id), so it is kept as a *key* of 40 bytes: `created_at`
in 8 bytes, big-endian, then the id. A bound is the beginning of a key: 8 bytes of time and 0 to 32 bytes of id,
without zeros at its end, for "omitted trailing bytes are implicitly 0". Python compares bytes as the protocol
compares items: `key < bound` says that an item lies below a bound, and no other code here knows how.
"""

from collections.abc import Iterator
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from bigbrotr_dagster.negentropy.errors import MalformedMessage, UnsupportedVersion

VERSION = 0x61
ID_SIZE = 32
TIME_SIZE = 8
FINGERPRINT_SIZE = 16
"""Bytes."""

MODULUS = 1 << 256
NEVER = (1 << 64) - 1
"""The time that no item may have: it stands for infinity."""

LOWEST = bytes(TIME_SIZE)
HIGHEST = b"\xff" * TIME_SIZE
"""The bounds of everything."""

_VARINT_SIZE = 10
"""Digits of 64 bits."""


class Mode(IntEnum):
    """What a range's payload is."""

    SKIP = 0
    FINGERPRINT = 1
    ID_LIST = 2


class Range(NamedTuple):
    """What a message says of the items from `lower` (included) to `upper` (not included), both bounds.

    `payload` is empty for SKIP, 16 bytes for FINGERPRINT, and the ids one after another for ID_LIST.
    """

    lower: bytes
    upper: bytes
    mode: Mode
    payload: bytes


def fingerprint(total: int, count: int) -> bytes:
    """The 16 bytes that stand for a set of ids.

    Args:
        total: The sum of the ids, each read as a little-endian integer; reduced mod 2^256 here.
        count: How many they are.
    """
    return sha256((total % MODULUS).to_bytes(ID_SIZE, "little") + encode_varint(count)).digest()[:FINGERPRINT_SIZE]


def time_of(place: bytes) -> int:
    """The seconds of a key or of a bound."""
    return int.from_bytes(place[:TIME_SIZE], "big")


# -- out --


def encode_varint(value: int) -> bytes:
    """`value`, which is not negative, in as few bytes as possible."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


class MessageWriter:
    """Puts ranges into a message of at most `limit` bytes, in ascending order; it skips what lies between them."""

    def __init__(self, limit: int) -> None:
        self._data = bytearray((VERSION,))
        self._limit = limit
        self._upper = LOWEST

    def add(self, lower: bytes, upper: bytes, mode: Mode, payload: bytes) -> bool:
        """Append a range; False, and nothing is appended, if it does not fit. `payload` is as in `Range`."""
        encoded = b"" if lower == self._upper else _encode_bound(lower, self._upper) + bytes((Mode.SKIP,))
        encoded += _encode_bound(upper, lower) + bytes((mode,))
        if mode is Mode.ID_LIST:
            encoded += encode_varint(len(payload) // ID_SIZE)
        if len(self._data) + len(encoded) + len(payload) > self._limit:
            return False
        self._data += encoded
        self._data += payload
        self._upper = upper
        return True

    def finish(self) -> bytes:
        """The message so far."""
        return bytes(self._data)


def _encode_bound(bound: bytes, before: bytes) -> bytes:
    if bound == HIGHEST:
        return bytes(2)
    prefix = bound[TIME_SIZE:]
    return encode_varint(time_of(bound) - time_of(before) + 1) + bytes((len(prefix),)) + prefix


# -- in --


def read_message(data: bytes) -> Iterator[Range]:
    """The ranges of a message, ascending, without a gap from LOWEST to HIGHEST: the last one may be implied.

    A range can be empty (its bounds are equal): programs append one when a list fills their frame to its end.

    Raises:
        MalformedMessage: At the range where it shows; the ones before it were well formed.
    """
    _check_version(data)
    at, lower = 1, LOWEST
    while at < len(data):
        upper, at = _read_bound(data, at, lower)
        mode, at = _read_varint(data, at)
        if mode == Mode.SKIP:
            yield Range(lower, upper, Mode.SKIP, b"")
        elif mode == Mode.FINGERPRINT:
            payload, at = _read_bytes(data, at, FINGERPRINT_SIZE)
            yield Range(lower, upper, Mode.FINGERPRINT, payload)
        elif mode == Mode.ID_LIST:
            count, at = _read_varint(data, at)
            payload, at = _read_bytes(data, at, count * ID_SIZE)
            yield Range(lower, upper, Mode.ID_LIST, payload)
        else:
            raise MalformedMessage(f"a range has mode {mode} at byte {at}, there are 0, 1 and 2")
        lower = upper
    if lower != HIGHEST:
        yield Range(lower, HIGHEST, Mode.SKIP, b"")


def _check_version(data: bytes) -> None:
    if not data:
        raise MalformedMessage("the message is empty, expected a version byte")
    if data[0] != VERSION:
        if data[0] >> 4 == VERSION >> 4:
            raise UnsupportedVersion(data[0] & 0x0F)
        raise MalformedMessage(f"the message begins with 0x{data[0]:02x}, which is no version byte")


def _read_bound(data: bytes, at: int, lower: bytes) -> tuple[bytes, int]:
    offset, at = _read_varint(data, at)
    length, at = _read_varint(data, at)
    if length > ID_SIZE:
        raise MalformedMessage(f"a bound has {length} bytes of an id at byte {at}, at most {ID_SIZE} can be")
    prefix, at = _read_bytes(data, at, length)
    time = NEVER if offset == 0 else time_of(lower) + offset - 1
    if time > NEVER or (time == NEVER and (offset or prefix)):
        raise MalformedMessage(f"a bound lies beyond infinity at byte {at}")
    upper = time.to_bytes(TIME_SIZE, "big") + prefix.rstrip(b"\0")
    if upper < lower:
        raise MalformedMessage(f"a bound lies below the one before it at byte {at}")
    return upper, at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, min(at + _VARINT_SIZE, len(data))):
        digit = data[place]
        if digit == 0x80 and place == at:
            raise MalformedMessage(f"a number begins with a zero digit at byte {at}")
        value = value << 7 | digit & 0x7F
        if digit < 0x80:
            if value > NEVER:
                break
            return value, place + 1
    else:
        if at + _VARINT_SIZE > len(data):
            raise MalformedMessage(f"the message ends within a number at byte {at}")
    raise MalformedMessage(f"a number has more than 64 bits at byte {at}")


def _read_bytes(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - at:
        raise MalformedMessage(f"{size} bytes should follow byte {at}, there are {len(data) - at}")
    return data[at : at + size], at + size
