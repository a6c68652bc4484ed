"""NIP-01 events: strict parsing, id and signature.

An archive must store the same event that its author signed, so nothing is repaired: an event is taken
exactly as NIP-01 has it, or refused with a reason.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson
from coincurve import PublicKeyXOnly

MAX_CREATED_AT = 2**63 - 1
"""Latest `created_at` in seconds: what PostgreSQL's bigint holds."""

MAX_KIND = 65535

MOST_NESTED = 100
"""Levels of lists and objects in an event's extra keys; its own keys have three."""

Reason = Literal["malformed", "bad_id", "bad_signature"]

_HEX_64 = re.compile(r"[0-9a-f]{64}").fullmatch
_HEX_128 = re.compile(r"[0-9a-f]{128}").fullmatch
_STRINGS = {str}
_STRINGS_AND_NULLS = {str, type(None)}

Tag = list[str | None]
"""A tag: strings. null is let through after name and value, for signed events with ["e", id, null, "root"]
exist; storage indexes only the first two, which are always strings."""


class EventError(ValueError):
    """The event is not one. `reason` is a stable word for counting; the message says more."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """A NIP-01 event: `id`, `pubkey` and `sig` in lower-case hex, `created_at` in seconds since 1970."""

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: list[Tag]
    content: str
    sig: str

    def serialize(self) -> bytes:
        """Return the canonical array whose SHA-256 is the id (NIP-01)."""
        return orjson.dumps([0, self.pubkey, self.created_at, self.kind, self.tags, self.content])

    def to_json(self) -> bytes:
        """Return the event as a compact JSON object with NIP-01's keys in NIP-01's order."""
        return orjson.dumps(self)


# The shortest JSON text of an event is longer than its canonical array by exactly this much: both hold the
# same values, in encodings that have no shorter form.
_EMPTY = Event("0" * 64, "0" * 64, 0, 0, [], "", "0" * 128)
_OVERHEAD = len(_EMPTY.to_json()) - len(_EMPTY.serialize())


def parse_event(fields: object, raw: bytes, *, envelope: int = 0) -> Event:
    """Build an `Event` from decoded JSON, checking every field and the id, but not the signature.

    `fields` is what orjson decoded from `raw`, or from a part of it; at least `envelope` bytes of `raw` are
    not the event's. Extra keys are dropped. Duplicate keys are refused, for JSON readers disagree on which
    one counts; only a `raw` that is longer than it need be has to be searched for them.

    Raises:
        EventError: `malformed`, or `bad_id` if the id is not the hash of the other fields.
    """
    if type(fields) is not dict:
        raise EventError("malformed", "the event is not a JSON object")
    try:
        event = Event(
            fields["id"],
            fields["pubkey"],
            fields["created_at"],
            fields["kind"],
            fields["tags"],
            fields["content"],
            fields["sig"],
        )
    except KeyError as exc:
        raise EventError("malformed", f"no {exc.args[0]}") from exc
    _check_fields(event)
    canonical = event.serialize()
    if len(raw) - envelope != len(canonical) + _OVERHEAD:
        _refuse_deep_nesting(fields)
        _refuse_duplicate_keys(raw)
    if hashlib.sha256(canonical).hexdigest() != event.id:
        raise EventError("bad_id", "the id is not the hash of the event")
    return event


def event_from_json(raw: bytes | str) -> Event:
    """Parse one event from JSON text.

    Raises:
        EventError: as `parse_event`, also where `raw` is not JSON.
    """
    encoded = raw.encode() if isinstance(raw, str) else raw
    try:
        fields = orjson.loads(encoded)
    except orjson.JSONDecodeError as exc:
        raise EventError("malformed", f"not JSON: {exc}") from exc
    return parse_event(fields, encoded)


def verify_signature(event: Event) -> bool:
    """Check the BIP-340 signature of the event's id; False also where the public key is not on the curve.

    About 45 µs of one core. libsecp256k1 runs without the GIL, so threads share the work.
    """
    key = _public_key(event.pubkey)
    return key is not None and key.verify(bytes.fromhex(event.sig), bytes.fromhex(event.id))


@lru_cache(maxsize=4096)  # authors come again, and decompressing a key is a tenth of the work
def _public_key(pubkey: str) -> PublicKeyXOnly | None:
    try:
        return PublicKeyXOnly(bytes.fromhex(pubkey))
    except ValueError:
        return None


def _refuse_deep_nesting(fields: dict[str, Any]) -> None:
    """Refuse extra keys with more than `MOST_NESTED` levels: how many JSON readers bear differs by their release.

    Raises:
        EventError: `malformed`.
    """
    layer: list[Any] = [fields]
    for _ in range(MOST_NESTED):
        layer = [inner for item in layer for inner in (item.values() if type(item) is dict else item)]
        layer = [inner for inner in layer if type(inner) is dict or type(inner) is list]
        if not layer:
            return
    raise EventError("malformed", "nested too deep")


def _refuse_duplicate_keys(raw: bytes) -> None:
    """Refuse JSON in which any object names a key twice.

    Raises:
        EventError: `malformed`.
    """
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError as exc:  # an extra key can nest as deep as it likes
        raise EventError("malformed", "nested too deep") from exc
    except EventError:
        raise
    except ValueError as exc:
        raise EventError("malformed", f"not JSON: {exc}") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise EventError("malformed", "a key appears twice")
    return fields


def _check_fields(event: Event) -> None:
    """Refuse what NIP-01 does not allow; `type() is`, for a bool is an int and a subclass is not JSON."""
    if not _has_all_digits(event):
        _check_digits(event)
    if type(event.created_at) is not int or not 0 <= event.created_at <= MAX_CREATED_AT:
        raise EventError("malformed", f"created_at is not an integer in 0..{MAX_CREATED_AT}")
    if type(event.kind) is not int or not 0 <= event.kind <= MAX_KIND:
        raise EventError("malformed", f"kind is not an integer in 0..{MAX_KIND}")
    if type(event.content) is not str:
        raise EventError("malformed", "content is not a string")
    if type(event.tags) is not list:
        raise EventError("malformed", "tags is not a list")
    for tag in event.tags:
        if type(tag) is not list or not (_STRINGS.issuperset(map(type, tag)) or _has_only_late_nulls(tag)):
            raise EventError("malformed", "a tag is not a list of strings")


def _check_digits(event: Event) -> None:
    if type(event.id) is not str or not _HEX_64(event.id):
        raise EventError("malformed", "id is not 64 lower-case hex digits")
    if type(event.pubkey) is not str or not _HEX_64(event.pubkey):
        raise EventError("malformed", "pubkey is not 64 lower-case hex digits")
    if type(event.sig) is not str or not _HEX_128(event.sig):
        raise EventError("malformed", "sig is not 128 lower-case hex digits")


def _has_all_digits(event: Event) -> bool:
    """As `_check_digits`, in half of the time; it cannot say what is wrong."""
    id, pubkey, sig = event.id, event.pubkey, event.sig
    if not (type(id) is type(pubkey) is type(sig) is str and len(id) == len(pubkey) == 64 and len(sig) == 128):
        return False
    digits = id + pubkey + sig
    try:
        return bytes.fromhex(digits).hex() == digits
    except ValueError:
        return False


def _has_only_late_nulls(tag: list[Any]) -> bool:
    return _STRINGS_AND_NULLS.issuperset(map(type, tag)) and None not in tag[:2]
