"""Text from strangers: what a relay, a proxy or a server says is made one safe line where it enters.

It ends up on terminals, in logs, in the database and in web pages. A control character there may clear a screen or
forge a line of ours, a format character may turn the order of what is shown around or hide a part of it (Unicode
Technical Report 36). They are escaped so that one sees them. What Markdown or HTML makes of the rest is for those
to mind who write Markdown or HTML.
"""

import re
from unicodedata import category

MAX_TEXT = 1000
"""Characters kept of what a stranger says."""

# They print nothing, and yet count as letters or marks (Unicode's Default_Ignorable_Code_Point); U+FE0E and U+FE0F
# stay, which choose between text and picture of the character before them.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0\U000e0000-\U000e0fff]"
)


def safe_line(text: str, most: int = MAX_TEXT) -> str:
    """Return at most `most` characters of `text`, the unprintable ones escaped (`\\x1b`, `\\u202e`).

    Blanks of any kind become spaces, and a byte that was not UTF-8 is shown as it came (`\\xff`). A text that went
    through this once goes through again unchanged.
    """
    text = text[:most]
    if not (text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None)):
        text = "".join(map(_shown, text))[:most]
    return text


def is_unicode(text: str) -> bool:
    """Whether `text` has no lone surrogates, so that it can be written at all."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(character: str) -> str:
    if category(character) == "Zs":
        return " "
    if character.isprintable() and not _INVISIBLE.match(character):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte, read with errors="surrogateescape" (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode-escape").decode("ascii")
