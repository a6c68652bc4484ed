"""NIP-01 events: strict parsing, id and signature.

An archive must store the same event that its author signed, so nothing is repaired: an event is one whose NIP-01
array has the id that it claims, or it is refused with a reason. What is not hashed does not count: how a number is
spelled (1.7e9), upper-case digits, other keys beside NIP-01's.
"""

import hashlib
import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import orjson
from coincurve import PublicKeyXOnly

from bigbrotr_dagster.errors import InvalidInput
from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.salvage import Repeated, Unreadable

MAX_CREATED_AT = 2**63 - 1
"""Latest `created_at` in seconds: what PostgreSQL's bigint holds."""

MAX_KIND = 65535

MOST_NESTED = 100
"""Levels of lists and objects in an event's extra keys; its own keys have three."""

Reason = Literal["malformed", "bad_id", "bad_signature"]

_HEX = re.compile(r"[0-9A-Fa-f]*").fullmatch
_STRINGS = {str}
_STRINGS_AND_NULLS = {str, type(None)}

if TYPE_CHECKING:
    Tag = list[str | None]
    """A tag: strings. null is let through after name and value, for signed events with ["e", id, null, "root"]
    exist; storage indexes only the first two, which are always strings."""
else:
    Tag = list[str]  # what the decoder takes; tags with null are looked at one by one (`_event_of`)


class EventError(InvalidInput):
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

UNDECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where JSON is no event, or one that it is too strict for: `parse_event` says which."""


def parse_event(decoded: object, raw: bytes, *, envelope: int = 0) -> Event:
    """Build an `Event` from decoded JSON, checking every field and the id, but not the signature.

    `decoded` is what was read of `raw`, an event or a message that holds one; or the `Event` that msgspec made of
    it, whose fields have the right types. At least `envelope` bytes of `raw` are then not the event's. Extra keys
    are dropped. Duplicate keys are refused, for JSON readers disagree on which one counts; what msgspec took is
    searched for them only where `raw` is longer than it need be.

    Raises:
        EventError: `malformed`, or `bad_id` if the id is not the hash of the other fields.
    """
    event = decoded if type(decoded) is Event else _event_of(decoded)
    if not _has_all_digits(event):
        event = _in_lower_case(event)
    if not 0 <= event.created_at <= MAX_CREATED_AT:
        raise EventError("malformed", f"created_at is not in 0..{MAX_CREATED_AT}")
    if not 0 <= event.kind <= MAX_KIND:
        raise EventError("malformed", f"kind is not in 0..{MAX_KIND}")
    try:
        canonical = event.serialize()
    except orjson.JSONEncodeError as exc:
        raise EventError("malformed", "a text is not Unicode") from exc
    if type(decoded) is not Event or len(raw) - envelope != len(canonical) + _OVERHEAD:
        _refuse_ambiguity(raw)
    if hashlib.sha256(canonical).hexdigest() != event.id:
        raise EventError("bad_id", "the id is not the hash of the event")
    return event


def event_from_json(raw: bytes | str) -> Event:
    """Parse one event from JSON text.

    Raises:
        EventError: as `parse_event`, also where `raw` is not JSON.
    """
    encoded = raw.encode(errors="surrogatepass") if isinstance(raw, str) else raw
    decoded: object
    try:
        decoded = _decode(encoded)
    except UNDECODED:
        try:
            decoded = salvage.read(encoded)
        except Unreadable as exc:
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
    if not isinstance(decoded, dict):
        raise EventError("malformed", "the event is not a JSON object")
    missing = [name for name in _NAMES if name not in decoded]
    if missing:
        raise EventError("malformed", f"no {missing[0]}, or two")
    values = {name: decoded[name] for name in _NAMES}
    for name in ("created_at", "kind"):
        values[name] = salvage.integral(values[name])
    for name, wanted in (("created_at", int), ("kind", int), ("content", str), ("tags", list)):
        if type(values[name]) is not wanted:
            raise EventError("malformed", f"{name} is not of type {wanted.__name__}")
    for tag in values["tags"]:
        if type(tag) is not list or not (_STRINGS.issuperset(map(type, tag)) or _has_only_late_nulls(tag)):
            raise EventError("malformed", "a tag is not a list of strings")
    return Event(**values)


def _refuse_ambiguity(raw: bytes) -> None:
    """Refuse an event in which any object names a key twice, or whose extra keys nest too deep.

    `raw` is an event, or a message that holds one. How many levels JSON readers bear differs by their release.

    Raises:
        EventError: `malformed`.
    """
    try:
        decoded, _ = salvage.read_first(raw[raw.index(b"{") :])  # our subscription ids hold no brace
    except Unreadable as exc:
        raise EventError("malformed", f"not JSON: {exc}") from exc
    layer: list[Any] = [decoded]
    for _ in range(MOST_NESTED):
        if any(type(item) is Repeated for item in layer):
            raise EventError("malformed", "a key appears twice")
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
        layer = [inner for inner in layer if isinstance(inner, dict | list)]
        if not layer:
            return
    raise EventError("malformed", "nested too deep")


def _in_lower_case(event: Event) -> Event:
    """What is hashed and signed has lower-case digits, or is refused for its id; so the same event is meant.

    Raises:
        EventError: `malformed`, if they are not hex digits of the right number.
    """
    for name, digits in (("id", 64), ("pubkey", 64), ("sig", 128)):
        value = getattr(event, name)
        if type(value) is not str or len(value) != digits or not _HEX(value):
            raise EventError("malformed", f"{name} is not {digits} hex digits")
    return replace(event, id=event.id.lower(), pubkey=event.pubkey.lower(), sig=event.sig.lower())


def _has_all_digits(event: Event) -> bool:
    """Whether id, public key and signature are as NIP-01 has them; quickly, so it cannot say what is wrong."""
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
