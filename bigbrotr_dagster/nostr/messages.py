"""What a relay may send (NIP-01, 42, 45, 67, 77), as frozen dataclasses, and what a client sends."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from bigbrotr_dagster.errors import InvalidInput
from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.event import UNDECODED, Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.salvage import Unreadable
from bigbrotr_dagster.nostr.text import is_unicode, safe_line
from bigbrotr_dagster.nostr.weight import MOST_ELEMENTS, is_crowded
from bigbrotr_dagster.windowing.outcome import Hint

MAX_COUNT = 2**53
"""Events: what a relay says it has beyond this is nonsense."""

MAX_HEX = 1_000_000
"""Digits of a NEG-MSG: the most that strfry sends."""

# "rate-limited: slow down" (NIP-01); a URL or a sentence before a colon is not a prefix.
_PREFIXED = re.compile(r"([a-z][a-z-]{0,31}):\s*(.*)", re.DOTALL)


_EVENT = b'["EVENT"'
_decode_event = msgspec.json.Decoder(tuple[Literal["EVENT"], str, Event]).decode


class ProtocolError(InvalidInput):
    """The message is not one that NIP-01 knows; the text says why."""


CROWDED = object()
"""What stands for an event that would take too much memory to look at: it is not decoded."""


class EventMessage(NamedTuple):
    """["EVENT", subscription, event]; `decoded` is for `parse_event`: little of it is checked yet.

    It is None if no event can be read of it, and so is the subscription: whatever the message is, it came in place
    of an event.
    """

    subscription: str | None
    decoded: object


@dataclass(frozen=True, slots=True)
class Eose:
    """["EOSE", subscription], with NIP-67's hint where the relay gives one."""

    subscription: str
    hint: Hint = Hint.NONE


@dataclass(frozen=True, slots=True)
class Closed:
    """["CLOSED", subscription, "prefix: text"]; `prefix` is empty where there is none."""

    subscription: str
    prefix: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """["NOTICE", text]: it names no subscription."""

    text: str


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """["AUTH", challenge] (NIP-42)."""

    challenge: str


@dataclass(frozen=True, slots=True)
class Ok:
    """["OK", event id, accepted, "prefix: text"]: the answer to an EVENT or an AUTH."""

    event_id: str
    accepted: bool
    prefix: str
    text: str


@dataclass(frozen=True, slots=True)
class Count:
    """["COUNT", subscription, {"count": events}] (NIP-45)."""

    subscription: str
    events: int


@dataclass(frozen=True, slots=True)
class NegMsg:
    """["NEG-MSG", subscription, hex] (NIP-77); `answer` is what the hex stands for."""

    subscription: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class NegErr:
    """["NEG-ERR", subscription, "prefix: text"] (NIP-77): the relay has ended it."""

    subscription: str
    prefix: str
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Well-formed, but of a kind that this client does not speak."""

    label: str


Message = EventMessage | Eose | Closed | Notice | AuthChallenge | Ok | Count | NegMsg | NegErr | Unknown


def parse_message(raw: bytes) -> Message:
    """Decode one message of a relay.

    An EVENT is one by its beginning, also where the rest is no JSON, or more than there should be.

    Raises:
        ProtocolError: if it is not JSON, not an array with a label, lacks what its label promises, or has too many
            elements.
    """
    if len(raw) > MOST_ELEMENTS and is_crowded(raw):
        return _crowded(raw)
    if raw.startswith(_EVENT):  # nearly all do
        try:
            return EventMessage(*_decode_event(raw)[1:])
        except UNDECODED:
            pass  # what it is then is found out below
    head = salvage.event_head(raw)
    if head is not None:
        subscription, start = head
        return EventMessage(subscription, _read_or_none(raw[start:]))
    try:
        return _message_of(salvage.loads(raw))
    except Unreadable as exc:
        if salvage.is_event(raw):
            return EventMessage(None, None)
        raise ProtocolError(f"not JSON: {exc}") from exc


def _crowded(raw: bytes) -> EventMessage:
    head = salvage.event_head(raw)
    if head is None and not salvage.is_event(raw):
        raise ProtocolError(f"more than {MOST_ELEMENTS} elements")
    return EventMessage(head[0] if head else None, CROWDED)


def _read_or_none(raw: bytes) -> object:
    try:
        return salvage.read_first(raw)[0]
    except Unreadable:
        return None


def _message_of(parts: object) -> Message:
    match parts:
        case ["EVENT", str(subscription), *rest]:
            return EventMessage(subscription, rest[0] if rest else None)
        case ["EVENT", *rest]:
            return EventMessage(None, rest[0] if rest else None)
        case ["EOSE", str(subscription), *hints]:
            return Eose(subscription, _hint(hints))
        case ["CLOSED", str(subscription), *rest]:
            return Closed(subscription, *split_prefix(_text(rest)))
        case ["NOTICE", *rest]:
            return Notice(_text(rest))
        case ["AUTH", str(challenge)] if is_unicode(challenge):  # it is signed
            return AuthChallenge(challenge)
        case ["OK", str(event_id), bool(accepted), *rest]:
            return Ok(event_id, accepted, *split_prefix(_text(rest)))
        case ["COUNT", str(subscription), {"count": int(events)}] if 0 <= events <= MAX_COUNT:
            return Count(subscription, events)
        case ["NEG-MSG", str(subscription), str(digits), *_]:
            return NegMsg(subscription, _from_hex(digits))
        case ["NEG-ERR", str(subscription), *rest]:
            return NegErr(subscription, *split_prefix(_text(rest)))
        case ["EOSE" | "CLOSED" | "AUTH" | "OK" | "COUNT" | "NEG-MSG" | "NEG-ERR" as label, *_]:
            raise ProtocolError(f"{label} lacks its fields")
        case [str(label), *_]:
            return Unknown(safe_line(label))
    raise ProtocolError("not a JSON array that starts with a label")


def split_prefix(text: str) -> tuple[str, str]:
    """Split "rate-limited: slow down" into prefix and text; the prefix is empty where there is none."""
    match = _PREFIXED.fullmatch(text)
    return (match[1], match[2]) if match else ("", text)


def req(subscription: str, selection: Filter) -> bytes:
    """Return the REQ that opens `subscription`."""
    return orjson.dumps(["REQ", subscription, selection.to_dict()])


def count(subscription: str, selection: Filter) -> bytes:
    """Return the COUNT that asks how many events a REQ would bring (NIP-45)."""
    return orjson.dumps(["COUNT", subscription, selection.to_dict()])


def close(subscription: str) -> bytes:
    """Return the CLOSE that ends `subscription`."""
    return orjson.dumps(["CLOSE", subscription])


def neg_open(subscription: str, selection: Filter, message: bytes) -> bytes:
    """Return the NEG-OPEN that compares what `selection` matches with our side's first message (NIP-77)."""
    return orjson.dumps(["NEG-OPEN", subscription, selection.to_dict(), message.hex()])


def neg_msg(subscription: str, message: bytes) -> bytes:
    """Return the NEG-MSG that goes on with that."""
    return orjson.dumps(["NEG-MSG", subscription, message.hex()])


def neg_close(subscription: str) -> bytes:
    """Return the NEG-CLOSE that ends it."""
    return orjson.dumps(["NEG-CLOSE", subscription])


def event(event: Event) -> bytes:
    """Return the EVENT that gives a relay an event."""
    return orjson.dumps(["EVENT", event])


def auth(event: Event) -> bytes:
    """Return the AUTH that answers a challenge (NIP-42)."""
    return orjson.dumps(["AUTH", event])


def _text(rest: list[Any]) -> str:
    return safe_line(rest[0]) if rest and isinstance(rest[0], str) else ""


def _from_hex(digits: str) -> bytes:
    if len(digits) > MAX_HEX:
        raise ProtocolError(f"NEG-MSG has {len(digits)} hex digits, at most {MAX_HEX} are taken")
    try:
        decoded = bytes.fromhex(digits)
    except ValueError as exc:
        raise ProtocolError("NEG-MSG is not hex") from exc
    if 2 * len(decoded) != len(digits):  # `fromhex` passes over blanks
        raise ProtocolError("NEG-MSG has blanks between its digits")
    return decoded


def _hint(hints: list[Any]) -> Hint:
    """NIP-67: ["finish"] or ["more"]; anything else is as good as no hint."""
    match hints:
        case [["finish"]]:
            return Hint.FINISH
        case [["more"]]:
            return Hint.MORE
    return Hint.NONE
