"""NIP-01 events: strict parsing, id and signature.

An archive must store the same event that its author signed, so nothing is repaired: an event is taken
exactly as NIP-01 has it, or refused with a reason.
"""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
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

if TYPE_CHECKING:
    Tag = list[str | None]
    """A tag: strings. null is let through after name and value, for signed events with ["e", id, null, "root"]
    exist; storage indexes only the first two, which are always strings."""
else:
    Tag = list[str]  # what the decoder takes; tags with null are looked at one by one (`_event_of`)


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

_NAMES = tuple(field.name for field in fields(Event))
_decode = msgspec.json.Decoder(Event).decode

UNDECODED = (msgspec.DecodeError, RecursionError)
"""What msgspec raises where JSON is no event, or one that it is too strict for: `parse_event` says which."""


def parse_event(decoded: object, raw: bytes, *, envelope: int = 0) -> Event:
    """Build an `Event` from decoded JSON, checking every field and the id, but not the signature.

    `decoded` is what orjson made of `raw`, or of the part of it that is the event; or the `Event` that msgspec
    made of it, whose fields have the right types. At least `envelope` bytes of `raw` are not the event's. Extra
    keys are dropped. Duplicate keys are refused, for JSON readers disagree on which one counts; only a `raw` that
    is longer than it need be has to be searched for them.

    Raises:
        EventError: `malformed`, or `bad_id` if the id is not the hash of the other fields.
    """
    event = decoded if type(decoded) is Event else _event_of(decoded)
    if not _has_all_digits(event):
        _check_digits(event)
    if not 0 <= event.created_at <= MAX_CREATED_AT:
        raise EventError("malformed", f"created_at is not in 0..{MAX_CREATED_AT}")
    if not 0 <= event.kind <= MAX_KIND:
        raise EventError("malformed", f"kind is not in 0..{MAX_KIND}")
    canonical = event.serialize()
    if len(raw) - envelope != len(canonical) + _OVERHEAD:
        _refuse_ambiguity(raw)
    if hashlib.sha256(canonical).hexdigest() != event.id:
        raise EventError("bad_id", "the id is not the hash of the event")
    return event


def event_from_json(raw: bytes | str) -> Event:
    """Parse one event from JSON text.

    Raises:
        EventError: as `parse_event`, also where `raw` is not JSON.
    """
    encoded = raw.encode() if isinstance(raw, str) else raw
    decoded: object
    try:
        decoded = _decode(encoded)
    except UNDECODED:
        try:
            decoded = orjson.loads(encoded)
        except orjson.JSONDecodeError as exc:
            raise EventError("malformed", f"not JSON: {exc}") from exc
    return parse_event(decoded, encoded)


def verify_signature(event: Event) -> bool:
    """Check the BIP-340 signature of the event's id; False also where the public key is not on the curve.

    About 40 µs of one core. libsecp256k1 runs without the GIL, so threads can share the work.
    """
    key = _public_key(event.pubkey)
    return key is not None and key.verify(bytes.fromhex(event.sig), bytes.fromhex(event.id))


@lru_cache(maxsize=4096)  # authors come again, and decompressing a key is a tenth of the work
def _public_key(pubkey: str) -> PublicKeyXOnly | None:
    try:
        return PublicKeyXOnly(bytes.fromhex(pubkey))
    except ValueError:
        return None


def _event_of(decoded: object) -> Event:
    """Check the types of what is most likely no event; `type() is`, for a bool is an int and a subclass not JSON.

    Raises:
        EventError: `malformed`.
    """
    if type(decoded) is not dict:
        raise EventError("malformed", "the event is not a JSON object")
    missing = [name for name in _NAMES if name not in decoded]
    if missing:
        raise EventError("malformed", f"no {missing[0]}")
    for name, wanted in (("created_at", int), ("kind", int), ("content", str), ("tags", list)):
        if type(decoded[name]) is not wanted:
            raise EventError("malformed", f"{name} is not of type {wanted.__name__}")
    for tag in decoded["tags"]:
        if type(tag) is not list or not (_STRINGS.issuperset(map(type, tag)) or _has_only_late_nulls(tag)):
            raise EventError("malformed", "a tag is not a list of strings")
    return Event(*(decoded[name] for name in _NAMES))


def _refuse_ambiguity(raw: bytes) -> None:
    """Refuse JSON in which any object names a key twice, or an event's extra keys nest too deep.

    `raw` is an event, or a message that holds one. How many levels JSON readers bear differs by their release.

    Raises:
        EventError: `malformed`.
    """
    try:
        decoded = json.loads(raw, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise EventError("malformed", "nested too deep") from exc
    except EventError:
        raise
    except ValueError as exc:
        raise EventError("malformed", f"not JSON: {exc}") from exc
    layer: list[Any] = [decoded if type(decoded) is dict else decoded[2]]
    for _ in range(MOST_NESTED):
        layer = [inner for item in layer for inner in (item.values() if type(item) is dict else item)]
        layer = [inner for inner in layer if type(inner) is dict or type(inner) is list]
        if not layer:
            return
    raise EventError("malformed", "nested too deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise EventError("malformed", "a key appears twice")
    return fields


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
