"""nip11_info: what a relay says of itself, key by key, as NIP-11 has the types. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from bigbrotr_dagster.discovery.health.documents import (
    MOST_ITEMS,
    Check,
    Document,
    a_flag,
    a_number,
    a_text,
    failed,
    some,
    succeeded,
    texts,
    without_nulls,
)
from bigbrotr_dagster.nostr.nip11 import Document as Answer
from bigbrotr_dagster.nostr.nip11 import decoded

LARGEST_NIP = 2**31 - 1
"""BigBrotr's views read a NIP as a 32-bit integer."""

JSON_TYPES = ("application/nostr+json", "application/json")

_TEXTS = (
    *("name", "description", "banner", "icon", "pubkey", "self", "contact", "software", "version"),
    *("privacy_policy", "terms_of_service", "posting_policy", "payments_url"),
)
_LISTS = ("relay_countries", "language_tags", "tags", "attributes")
_LIMITS: Mapping[str, Callable[[object], object]] = {
    **dict.fromkeys(
        (
            *("max_message_length", "max_subscriptions", "max_limit", "max_subid_length", "max_event_tags"),
            *("max_content_length", "min_pow_difficulty", "created_at_lower_limit", "created_at_upper_limit"),
            "default_limit",
        ),
        a_number,
    ),
    **dict.fromkeys(("auth_required", "payment_required", "restricted_writes"), a_flag),
}
_FEES = ("admission", "subscription", "publication")


def nip11_document(answer: Answer) -> Document:
    """What came of asking for the document: what of it is of use, or why there is none."""
    if answer.problem:
        return failed(Check.NIP11, answer.problem)
    content_type = answer.content_type.partition(";")[0].strip().lower()
    if content_type not in JSON_TYPES:
        return failed(Check.NIP11, f"the content type is {content_type or 'missing'}")
    said = decoded(answer.body)
    if not isinstance(said, dict):
        return failed(Check.NIP11, "not a JSON object")
    return succeeded(Check.NIP11, known_keys(said))


def known_keys(said: Mapping[str, object]) -> dict[str, Any]:
    """The keys of NIP-11 that have the right type, each with what of it may be stored."""
    found: dict[str, Any] = {key: a_text(said.get(key)) for key in _TEXTS}
    found |= {key: texts(said.get(key)) for key in _LISTS}
    found["supported_nips"] = _nips(said.get("supported_nips"))
    found["limitation"] = _fields(said.get("limitation"), _LIMITS)
    found["retention"] = _each(said.get("retention"), _retention)
    fees = said.get("fees")
    if isinstance(fees, dict):
        found["fees"] = without_nulls({key: _each(fees.get(key), _fee) for key in _FEES}) or None
    return without_nulls(found)


def _nips(value: object) -> list[int] | None:
    if not isinstance(value, list):
        return None
    numbers = {number for each in value if (number := a_number(each)) is not None and 0 <= number <= LARGEST_NIP}
    return sorted(numbers)[:MOST_ITEMS] or None


def _fields(value: object, types: Mapping[str, Callable[[object], object]]) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    return without_nulls({key: read(value.get(key)) for key, read in types.items()}) or None


def _each(value: object, read: Callable[[object], dict[str, Any] | None]) -> list[dict[str, Any]] | None:
    return some(map(read, value[:MOST_ITEMS])) if isinstance(value, list) else None


def _retention(value: object) -> dict[str, Any] | None:
    return _fields(value, {"kinds": _kinds, "time": a_number, "count": a_number})


def _fee(value: object) -> dict[str, Any] | None:
    return _fields(value, {"amount": a_number, "unit": a_text, "period": a_number, "kinds": _kinds})


def _kinds(value: object) -> list[Any] | None:
    """Kinds, and ranges of two of them."""
    return some(map(_kind, value[:MOST_ITEMS])) if isinstance(value, list) else None


def _kind(value: object) -> int | list[int] | None:
    match value:
        case [first, last]:
            ends = some(map(a_number, (first, last)))
            return ends if ends is not None and len(ends) == 2 else None
    return a_number(value)
