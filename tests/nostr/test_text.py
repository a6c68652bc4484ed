"""What a stranger says is one safe line once it is inside."""

import sys
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.text import MAX_TEXT, is_unicode, safe_line

HARMFUL = {
    "C0": "".join(map(chr, range(0x20))),
    "DEL and C1": "".join(map(chr, range(0x7F, 0xA0))),
    "bidirectional controls": "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u115f\u3164\uffa0",
    "tags": "\U000e0001\U000e0041\U000e007f\U000e0100",
    "line separators": "\u2028\u2029\x85\v\f\r\n",
    "lone surrogates": "\ud800\udc80\udfff",
    "private use and nothing": "\ue000\U0010ffff\uffff",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_each_of_them_is_shown_as_an_escape(name: str) -> None:
    for character in HARMFUL[name]:
        shown = safe_line(f"a{character}b")
        assert shown.isprintable()
        assert shown.startswith("a\\")
        assert character not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rate-limited: slow down", "rate-limited: slow down"),
        ("geschützt 日本語 🫂❤️ עברית", "geschützt 日本語 🫂❤️ עברית"),
        ("a\u3000b\u00a0c", "a b c"),
        ("\x1b[2Ja\r\nb\tc", r"\x1b[2Ja\r\nb\tc"),
        ("\u202eevil", r"\u202eevil"),
        ("\U000e0041", r"\U000e0041"),
        (b"gesch\xfctzt".decode(errors="surrogateescape"), r"gesch\xfctzt"),
        (r"a\nb", r"a\nb"),
        ("", ""),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert safe_line(text) == shown


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=50), st.integers(0, 60))
def test_a_line_is_printable_short_and_stays_as_it_is(text: str, most: int) -> None:
    line = safe_line(text, most)
    assert len(line) <= most
    assert line.isprintable()
    assert is_unicode(line)
    assert safe_line(line, most) == line


def test_no_character_of_the_harmful_kinds_gets_by() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert safe_line(character).isascii()


def test_a_long_text_is_cut() -> None:
    assert len(safe_line("x" * 5_000)) == len(safe_line("\0" * 5_000)) == MAX_TEXT
