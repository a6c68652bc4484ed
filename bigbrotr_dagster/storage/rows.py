"""Events as rows: what PostgreSQL can take, and in which form."""

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from bigbrotr_dagster.nostr.event import Event

EVENT_TYPES = ("bytea", "bytea", "int8", "int4", "jsonb", "text[]", "text", "bytea")
OBSERVATION_TYPES = ("bytea", "text", "int8")

INDEXED_BYTES = 2_048
"""A tag value is cut here in `tagvalues`: a GIN key holds about 2,700 bytes."""


def event_row(event: Event) -> tuple[Any, ...]:
    """The event in the order of the columns of `event`."""
    return (
        bytes.fromhex(event.id),
        bytes.fromhex(event.pubkey),
        event.created_at,
        event.kind,
        Jsonb(event.tags),
        tagvalues(event.tags),
        event.content,
        bytes.fromhex(event.sig),
    )


def tagvalues(tags: Iterable[list[Any]]) -> list[str]:
    """'k:v' for every tag with a one-letter name and a value, as BigBrotr has it."""
    return [f"{tag[0]}:{_cut(tag[1])}" for tag in tags if len(tag) > 1 and len(tag[0]) == 1]


def _cut(value: str) -> str:
    if len(value) <= INDEXED_BYTES // 4:  # no character takes more than four bytes
        return value
    return value.encode()[:INDEXED_BYTES].decode(errors="ignore")


def holds_nul(event: Event) -> bool:
    """PostgreSQL's text cannot hold U+0000."""
    return "\0" in event.content or any("\0" in item for tag in event.tags for item in tag if item)
