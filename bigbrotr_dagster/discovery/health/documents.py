"""What a check found, as BigBrotr stores it: `{"data": {...}, "logs": {...}}`, in canonical JSON. Pure.

All of it comes from strangers, so each text is cut, and so is the whole. What jsonb cannot hold (NUL, lone
surrogates) is taken out. What has the wrong type is left out, key by key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any

MAX_DOCUMENT = 128 * 1024
"""Bytes of a document in canonical JSON."""

MAX_TEXT = 2_000
"""Characters of one text."""

MAX_REASON = 300
"""Characters of why a check failed."""

MOST_ITEMS = 200
"""Items of one list."""

LARGEST = 2**53
"""Numbers beyond it are not kept: not every reader of JSON has them."""

_UNSTORABLE: dict[int, str | None] = {0: None, **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")}


class Check(StrEnum):
    """The types of documents, by BigBrotr's names."""

    NIP11 = "nip11_info"
    RTT = "nip66_rtt"
    SSL = "nip66_ssl"
    DNS = "nip66_dns"
    GEO = "nip66_geo"
    NET = "nip66_net"
    HTTP = "nip66_http"


@dataclass(frozen=True, slots=True)
class Document:
    """What one check found (`data`, without nulls), and whether it succeeded (`logs`)."""

    check: Check
    data: Mapping[str, Any] = field(default_factory=dict)
    logs: Mapping[str, Any] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Canonical JSON, of at most `MAX_DOCUMENT` bytes: the longest values are left out until it is."""
        data = dict(self.data)
        encoded = _canonical({"data": data, "logs": self.logs})
        while len(encoded) > MAX_DOCUMENT and data:
            del data[max(data, key=lambda key: len(_canonical(data[key])))]
            encoded = _canonical({"data": data, "logs": self.logs})
        return encoded


def document_id(encoded: bytes) -> bytes:
    """The id by which a document is stored once."""
    return hashlib.sha256(encoded).digest()


def succeeded(check: Check, data: Mapping[str, Any]) -> Document:
    """The document of a check that found something."""
    return Document(check, without_nulls(data), {"success": True})


def failed(check: Check, reason: str, data: Mapping[str, Any] | None = None) -> Document:
    """The document of a check that failed; `data` is what it found all the same."""
    return Document(check, without_nulls(data or {}), {"success": False, "reason": storable(reason, MAX_REASON)})


def without_nulls(data: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was found."""
    return {key: value for key, value in data.items() if value is not None}


def storable(text: str, most: int = MAX_TEXT) -> str:
    """At most `most` characters of a text, and none that jsonb cannot hold."""
    return text[:most].translate(_UNSTORABLE)


def a_text(value: object) -> str | None:
    """A text that may be stored; None where it is none."""
    return storable(value) if isinstance(value, str) else None


def a_number(value: object) -> int | None:
    """An integer; None where it is none, or larger than any that is meant."""
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < LARGEST else None


def a_flag(value: object) -> bool | None:
    """True or false; None where it is neither."""
    return value if isinstance(value, bool) else None


def texts(value: object) -> list[str] | None:
    """The texts of a list; None where it is no list, or has none."""
    return some(map(a_text, value[:MOST_ITEMS])) if isinstance(value, list) else None


def some(values: Iterable[Any]) -> list[Any] | None:
    """The values that are not None, or None where there are none."""
    return [value for value in values if value is not None] or None


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
