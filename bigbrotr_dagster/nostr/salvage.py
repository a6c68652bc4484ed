"""Reading JSON that strict readers refuse: bytes that are not UTF-8, lone surrogates, repeated keys, a broken end.

A relay hands on what it was given, and each such message used up room in its answer. So as much as can be read of
it is read. Whether it is an event is then decided by what NIP-01 hashes and signs, and not by how it was spelled.
"""

import json
import re
from typing import Any

import orjson

from bigbrotr_dagster.errors import InvalidInput

_BLANK = re.compile(r"[ \t\n\r]*")
_BOM = b"\xef\xbb\xbf"
_EVENT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\[\s*"EVENT"\s*')
_SUBSCRIPTION = re.compile(rb',\s*"([^"\\]*)"\s*,?\s*')
_CLAIMED_AT = re.compile(rb'"created_at"\s*:\s*(-?[0-9][0-9.eE+-]{0,39})')
_CLAIMED_ID = re.compile(rb'"id"\s*:\s*"([0-9A-Fa-f]{64})"')
_ESCAPED_KEY = re.compile(rb'\\u[0-9A-Fa-f]{4}[^"\\]*"\s*:')
_HEX_64 = re.compile(r"[0-9A-Fa-f]{64}").fullmatch

EXACT = 2**53
"""Below, each integer has a floating-point number of its own; above, nobody knows which one was meant."""

MAX_SECOND = 2**63 - 1
"""Latest second that a request can name."""


class Unreadable(InvalidInput):
    """Not even this module can read it; the message says why."""


class Repeated(dict[str, Any]):
    """A JSON object that names a key twice. It holds only what all readers agree on."""


def loads(raw: bytes) -> object:
    """Return the JSON value that `raw` is: by orjson, which is fast and strict, else by `read`.

    Raises:
        Unreadable: as `read`.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return read(raw)


def read(raw: bytes) -> object:
    """Return the JSON value that `raw` is. Bytes that are not UTF-8 become lone surrogates (PEP 383).

    Raises:
        Unreadable: it is none, or nested so deep, or its numbers so long, that no reader bears it.
    """
    text = _text(raw.removeprefix(_BOM))
    value, end = _read(text)
    if not _BLANK.fullmatch(text, end):
        raise Unreadable("more than one value")
    return value


def read_first(raw: bytes) -> tuple[object, int]:
    """Return the JSON value that `raw` begins with, and the number of its bytes.

    Raises:
        Unreadable: as `read`.
    """
    text = _text(raw)
    value, end = _read(text)
    return value, len(text[:end].encode(errors="surrogateescape"))


def is_event(raw: bytes) -> bool:
    """Whether a message begins as an EVENT does."""
    return _EVENT.match(raw) is not None


def event_head(raw: bytes) -> tuple[str, int] | None:
    """Return an EVENT message's subscription and where what follows it begins; None where that is not plain."""
    label = _EVENT.match(raw)
    named = label and _SUBSCRIPTION.match(raw, label.end())
    return (named[1].decode(errors="replace"), named.end()) if named else None


def integral(value: object) -> int | None:
    """Return the integer that a JSON number is, however it is spelled (1.7e9, 1700000000.0, -0), or None.

    JSON knows one kind of number (RFC 8259, 6), so that some programs write integers as floating-point numbers.
    """
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return None


def claims(value: object) -> tuple[str | None, int | None]:
    """Return the id and the `created_at` in seconds that a JSON value claims which is no event.

    None stands for what is not claimed, or in two ways, of which the relay may have taken the other; and for
    seconds that no request can name.
    """
    if not isinstance(value, dict):
        return None, None
    return _hex_id(value.get("id")), _second(integral(value.get("created_at")))


def claims_of_bytes(raw: bytes) -> tuple[str | None, int | None]:
    """As `claims`, of what is unreadable."""
    if _ESCAPED_KEY.search(raw):
        return None, None
    ids = {found.decode() for found in _CLAIMED_ID.findall(raw)}
    numbers = set(_CLAIMED_AT.findall(raw))
    id = _hex_id(ids.pop()) if len(ids) == 1 else None
    return id, _second(_number(numbers.pop())) if len(numbers) == 1 else None


def _read(text: str) -> tuple[Any, int]:
    start = _BLANK.match(text)
    try:
        return _decoder.raw_decode(text, start.end() if start else 0)
    except RecursionError as exc:
        raise Unreadable("nested too deep") from exc
    except ValueError as exc:  # also an integer of more digits than Python converts
        raise Unreadable(str(exc)) from exc


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    ambiguous = {key for key, value in pairs if type(value) is not type(fields[key]) or value != fields[key]}
    return Repeated({key: value for key, value in fields.items() if key not in ambiguous})


_decoder = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def _number(digits: bytes) -> int | None:
    try:
        return integral(json.loads(digits))
    except ValueError:
        return None


def _second(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= MAX_SECOND else None


def _hex_id(claimed: object) -> str | None:
    return claimed.lower() if isinstance(claimed, str) and _HEX_64(claimed) else None
