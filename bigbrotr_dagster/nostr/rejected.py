"""What a relay sent in place of an event: as much of it as is worth keeping, and what it claims to be."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.event import Reason
from bigbrotr_dagster.nostr.salvage import Unreadable
from bigbrotr_dagster.nostr.weight import is_crowded

MAX_RAW_KEPT = 64 * 1024
"""Bytes kept of one rejected event."""

Rejection = Reason | Literal["too_large", "off_filter"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What a relay sent in place of an event that we asked for.

    `raw` is the event's JSON, what stands in its place, or the whole message where there is none; cut at
    `MAX_RAW_KEPT`. `id` is what it claims to be, and `created_at` when: None where that is not clear.
    """

    reason: Rejection
    raw: bytes
    id: str | None = None
    created_at: int | None = None


def rejected(reason: Rejection, raw: bytes) -> Rejected:
    """Look at a message that holds no event to be taken.

    It is read anew, for the relay may have read it otherwise than those who decoded it (a key that comes twice);
    what is not claimed clearly says nothing of the place that it had in the relay's answer.
    """
    head = salvage.event_head(raw)
    start = head[1] if head else raw.find(b"{") if salvage.is_event(raw) else 0
    place = raw[max(0, start) :]
    value: object = None
    if not is_crowded(place):
        with suppress(Unreadable):
            value, size = salvage.read_first(place)
    id, created_at = salvage.claims_of_bytes(place) if value is None else salvage.claims(value)
    if isinstance(value, dict):
        place = place[:size]
    return Rejected(reason, place[:MAX_RAW_KEPT], id, created_at)
