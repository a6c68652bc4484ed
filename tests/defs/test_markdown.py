"""What a stranger says is no Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.defs.graph import as_block, as_text


@pytest.mark.parametrize(
    "text",
    [
        "connection refused",
        "no connection within 10 s",
        "closed(rate-limited: slow down)",
        "HTTP status 404 instead of 101",
        "TLS certificate: self-signed certificate",
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert as_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("closed(blocked: <img src=x>)", "` closed(blocked: <img src=x>) `"),
        ("![a](http://b/c.png)", "` ![a](http://b/c.png) `"),
        ("see http://evil.example", "` see http://evil.example `"),
        ("see www.evil.example", "` see www.evil.example `"),
        ("mail a@b.example", "` mail a@b.example `"),
        ("a | b", "` a | b `"),
        ("- a", "` - a `"),
        ("1. a", "` 1. a `"),
        ("a *b* _c_ ~d~", "` a *b* _c_ ~d~ `"),
        ("&amp;", "` &amp; `"),
        ("a `b` ``c", "``` a `b` ``c ```"),
    ],
)
def test_what_could_become_something_is_code(text: str, shown: str) -> None:
    assert as_text(text) == shown


@pytest.mark.slow
@given(st.text(st.sampled_from("ab `<>[]()!|&*_#-.:/@\\"), max_size=40))
def test_no_text_leaves_its_code(text: str) -> None:
    shown = as_text(text)
    if shown != text:
        fence = shown[: len(shown) - len(shown.lstrip("`"))]
        inside = shown[len(fence) : -len(fence)]
        assert shown.endswith(fence)
        assert fence not in inside
    assert as_block(text).count("`") == 6
    assert "<" not in as_block(text)
