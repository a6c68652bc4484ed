"""Signed events that cost much more memory than their bytes on the wire, one for each key and second."""

from collections.abc import Callable
from functools import lru_cache

from bigbrotr_dagster.nostr.event import Tag
from bigbrotr_dagster.nostr.keys import sign_event

WHOLE = 1_040_000
"""Bytes: as much as `max_event_size` allows."""


def _signed(key: int, second: int, kind: int, tags: list[Tag], content: str) -> bytes:
    event = sign_event(
        key.to_bytes(32), created_at=second, kind=kind, tags=tags, content=content, aux_randomness=bytes(32)
    )
    return event.to_json()


@lru_cache(maxsize=8)
def empty_tags_beyond_all_bounds(key: int, second: int, kind: int) -> bytes:
    """690,000 empty tags: 2 MB, and 45 MB once decoded."""
    return _signed(key, second, kind, [[] for _ in range(690_000)], "")


@lru_cache(maxsize=16)
def empty_tags(key: int, second: int, kind: int) -> bytes:
    """As many as are let through, with text beside them that one character makes four times as wide."""
    return _signed(key, second, kind, [[] for _ in range(30_000)], "a" * (WHOLE - 91_000) + "😀")


@lru_cache(maxsize=16)
def short_texts(key: int, second: int, kind: int) -> bytes:
    return _signed(key, second, kind, [["ab"] * 60_000], "")


@lru_cache(maxsize=16)
def short_tags(key: int, second: int, kind: int) -> bytes:
    return _signed(key, second, kind, [["ab"] for _ in range(30_000)], "")


@lru_cache(maxsize=16)
def wide_text(key: int, second: int, kind: int) -> bytes:
    return _signed(key, second, kind, [], "a" * WHOLE + "😀")


@lru_cache(maxsize=16)
def follow_list(key: int, second: int, kind: int) -> bytes:
    """Nothing wrong with it: 14,000 people."""
    return _signed(key, second, kind, [["p", f"{number:064x}"] for number in range(14_000)], "")


Make = Callable[[int, int, int], bytes]

COSTLY: tuple[Make, ...] = (
    empty_tags_beyond_all_bounds,
    empty_tags,
    short_texts,
    short_tags,
    wide_text,
    follow_list,
)
