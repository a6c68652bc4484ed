"""Relay URLs that an event names. Pure: no I/O, no clock.

| where | what |
|---|---|
| tag `r` | NIP-65 (kind 10002), and references of any kind |
| tag `relay`, `relays` | relay sets and lists (NIP-51), inbox relays (NIP-17), zap requests (NIP-57) |
| tag `d` of kind 30166 | a relay that a monitor has looked at (NIP-66) |
| third element of `e`, `p`, `a`, `q`, `E`, `P`, `A` | where the thing was seen (NIP-01, 10, 18, 22) |
| content of kind 3 | the keys of a JSON object (clients before NIP-65) |
| content of kind 2 | the whole of it: a recommended relay (NIP-01 of old) |
| `relays` of a JSON object in any content | lists by public key, as NIP-05 has them |

What is found is text of strangers: whether it is a relay's URL, `parse_relay_url` decides.
"""

from collections.abc import Iterator
from itertools import islice

import orjson

__all__ = ["MONITORED", "MOST_MENTIONS", "mentions"]

MOST_MENTIONS = 500
"""Texts that are taken of one event: lists in the wild have some dozens."""

MONITORED = 30166
"""NIP-66's kind: what a monitor found out about one relay."""

MAX_LENGTH = 512
"""Characters of a relay URL, as `parse_relay_url` has it."""

_WHOLE = {"relay", "relays"}
_HINTED = {"e", "p", "a", "q", "E", "P", "A"}
_RECOMMENDATION, _FOLLOWS = 2, 3


def mentions(kind: int, tags: object, content: str) -> list[str]:
    """The texts of an event that begin as a relay URL does, each once, in the order in which they stand.

    Args:
        kind: The event's kind.
        tags: Its tags, as decoded from JSON; what is no list of lists of strings is passed over.
        content: Its content.
    """
    found = (text.strip() for text in (*_in_tags(kind, tags), *_in_content(kind, content)))
    return list(islice(dict.fromkeys(text for text in found if _looks_so(text)), MOST_MENTIONS))


def _looks_so(text: str) -> bool:
    return len(text) <= MAX_LENGTH and text[:6].lower().startswith(("ws://", "wss://"))


def _in_tags(kind: int, tags: object) -> Iterator[str]:
    if not isinstance(tags, list):
        return
    for tag in tags:
        if not isinstance(tag, list) or len(tag) < 2 or not isinstance(tag[0], str):
            continue
        name = tag[0]
        if name == "r" or (name == "d" and kind == MONITORED):
            texts = tag[1:2]
        elif name in _WHOLE:
            texts = tag[1:]
        elif name in _HINTED:
            texts = tag[2:3]
        else:
            continue
        yield from (text for text in texts if isinstance(text, str))


def _in_content(kind: int, content: str) -> Iterator[str]:
    if kind == _RECOMMENDATION:
        yield content
    if not content.lstrip().startswith("{"):
        return
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return
    if kind == _FOLLOWS:
        yield from document
    lists = document.get("relays")
    for one in [lists, *lists.values()] if isinstance(lists, dict) else [lists]:
        if isinstance(one, list | dict):
            yield from (text for text in one if isinstance(text, str))
