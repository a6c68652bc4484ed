"""NIP-11: what a relay says of its own limits.

These are hints. Relays copy them from examples and forget them, so they may choose a first guess and never
prove anything; nonsense in them is the same as nothing.
"""

from dataclasses import dataclass
from typing import Any

MAX_PLAUSIBLE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The parts of NIP-11's `limitation` that concern a reader; None where the relay does not say.

    `max_limit` and `default_limit` count events of one filter, `max_message_length` is in bytes.
    """

    max_limit: int | None = None
    default_limit: int | None = None
    max_subscriptions: int | None = None
    max_subid_length: int | None = None
    max_message_length: int | None = None
    auth_required: bool | None = None


def parse_limits(document: object) -> RelayLimits:
    """Read the limits from a decoded NIP-11 document; never raises, whatever it is."""
    limitation = document.get("limitation") if isinstance(document, dict) else None
    if not isinstance(limitation, dict):
        return RelayLimits()
    return RelayLimits(
        max_limit=_count(limitation, "max_limit"),
        default_limit=_count(limitation, "default_limit"),
        max_subscriptions=_count(limitation, "max_subscriptions"),
        max_subid_length=_count(limitation, "max_subid_length"),
        max_message_length=_count(limitation, "max_message_length"),
        auth_required=_flag(limitation, "auth_required"),
    )


def _count(limitation: dict[Any, Any], key: str) -> int | None:
    value = limitation.get(key)
    return value if type(value) is int and 1 <= value <= MAX_PLAUSIBLE else None


def _flag(limitation: dict[Any, Any], key: str) -> bool | None:
    value = limitation.get(key)
    return value if isinstance(value, bool) else None
