"""Filters: strict parsing, NIP-01 matching, the coverage key."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.filter import Filter
from tests.nostr.helpers import signed

EVENT = signed(1_000, kind=7, tags=[["e", "x", "y"], ["p"], [], ["T", "z"]])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ids": [EVENT.id]},
        {"ids": ["0" * 64, EVENT.id]},
        {"authors": [EVENT.pubkey]},
        {"kinds": [1, 7]},
        {"#e": ["x"]},
        {"#e": ["w", "x"], "#T": ["z"]},
        {"since": 1_000},
        {"until": 1_000},
        {"since": 1_000, "until": 1_000, "limit": 0},
    ],
)
def test_matches(fields: dict[str, Any]) -> None:
    assert Filter.from_dict(fields).matches(EVENT)


@pytest.mark.parametrize(
    "fields",
    [
        {"ids": ["0" * 64]},
        {"authors": ["0" * 64]},
        {"kinds": [1]},
        {"#e": ["y"]},
        {"#p": [""]},
        {"#t": ["z"]},
        {"#e": ["x"], "#T": ["x"]},
        {"since": 1_001},
        {"until": 999},
    ],
)
def test_does_not_match(fields: dict[str, Any]) -> None:
    assert not Filter.from_dict(fields).matches(EVENT)


def test_selection_is_blind_to_time() -> None:
    assert Filter(kinds=(7,), since=2_000, until=2_000).matches_selection(EVENT)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"ids": ["abc"]}, "ids: 'abc'"),
        ({"authors": ["A" * 64]}, "authors: 'A"),
        ({"ids": "0" * 64}, "ids: .* is not a list"),
        ({"kinds": []}, "kinds: an empty list"),
        ({"kinds": [65536]}, "kinds: 65536"),
        ({"kinds": [True]}, "kinds: True"),
        ({"kinds": None}, "kinds: null"),
        ({"#e": []}, "#e: an empty list"),
        ({"#e": [1]}, "#e: 1 is not a string"),
        ({"#ee": ["x"]}, "'#ee'"),
        ({"since": -1}, "since: -1"),
        ({"until": 1.5}, "until: 1.5"),
        ({"limit": "1"}, "limit: '1'"),
        ({"search": "x"}, "'search'"),
        ({"kind": [1]}, "'kind'"),
        ([], "not \\[\\]"),
    ],
)
def test_a_bad_filter_is_refused_by_name(fields: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Filter.from_dict(fields)


def test_to_dict_gives_back_what_was_read() -> None:
    fields = {"ids": ["0" * 64], "kinds": [1, 7], "#e": ["x"], "since": 0, "until": 5, "limit": 10}
    assert Filter.from_dict(fields).to_dict() == fields


def test_narrowed_changes_only_what_it_is_told() -> None:
    assert Filter(kinds=(1,), limit=5).narrowed(since=3) == Filter(kinds=(1,), since=3, limit=5)


def test_narrowed_checks_like_any_filter() -> None:
    with pytest.raises(ValueError, match="since: -1"):
        Filter().narrowed(since=-1)


def test_the_empty_filters_key_never_changes() -> None:
    assert Filter().hash() == "44136fa355b3678a"  # SHA-256 of "{}": stored in databases


def test_filters_can_be_keys_of_a_dict() -> None:
    assert {Filter.from_dict({"#e": ["x"]}): 1}[Filter.from_dict({"#e": ["x"]})] == 1


@given(
    kinds=st.lists(st.integers(0, 65535), min_size=1),
    values=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1),
    times=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
)
def test_the_key_is_blind_to_order_repetition_and_time(
    kinds: list[int], values: list[str], times: tuple[int, int, int]
) -> None:
    since, until, limit = times
    one = Filter.from_dict({"kinds": kinds, "#e": values})
    other = Filter.from_dict(
        {"#e": values[::-1] * 2, "kinds": kinds[::-1] * 2, "since": since, "until": until, "limit": limit}
    )
    assert one.hash() == other.hash()


@given(kinds=st.sets(st.integers(0, 9), min_size=1), others=st.sets(st.integers(0, 9), min_size=1))
def test_filters_that_differ_have_other_keys(kinds: set[int], others: set[int]) -> None:
    equal = Filter(kinds=tuple(kinds)).hash() == Filter(kinds=tuple(others)).hash()
    assert equal == (kinds == others)
