"""What a relay's message takes in memory once it is decoded: up to 27 times its bytes, so that is what is counted.

690,000 empty tags are 2 MB of JSON and 45 MB of lists. Both functions look at bytes, before anything is built.
"""

MOST_ELEMENTS = 65_536
"""Lists, objects and commas of one message. A follow list of a whole MiB has 45,000."""

PART = 2**20
"""Bytes of decoded events, by weight, that a request keeps before it hands them over."""

LARGE = 2**15
"""Bytes of a message that is decoded only when there is room for it; 25 smaller ones at once do no harm."""

_EVENT = 700  # the object, its id, key and signature
_ELEMENT = 80  # a list, or a short text, and its place in a list
_WIDEST = 5  # bytes of a character of text where any needs four, and of its UTF-8, which is kept beside it


def weight(raw: bytes) -> int:
    """Bytes that an EVENT message takes at most, once it is decoded; from 1 to 4 times what it does take."""
    is_plain = raw.isascii() and not (b"\\" in raw and b"\\u" in raw)  # one byte is found in no time
    width = 1 if is_plain else _WIDEST
    return _EVENT + width * len(raw) + _ELEMENT * (raw.count(b",") + raw.count(b"["))


def is_crowded(raw: bytes) -> bool:
    """Whether a message has more elements than `MOST_ELEMENTS`; those that are only text do not count."""
    if len(raw) <= MOST_ELEMENTS or _elements(raw) <= MOST_ELEMENTS:
        return False
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # now each quotation mark begins a text or ends one
    if plain.count(b'"') > 4 * MOST_ELEMENTS:  # more texts than elements: no JSON, or as bad
        return True
    return _elements(b"".join(plain.split(b'"')[::2])) > MOST_ELEMENTS


def _elements(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")
