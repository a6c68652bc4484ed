"""A sorted set, its fingerprints and its bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.negentropy.items import Items
from bigbrotr_dagster.negentropy.wire import HIGHEST, LOWEST, fingerprint
from tests.negentropy.relay_side import FOREVER, Item, shortest

ids = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.tuples(st.sampled_from([bytes(31), b"\x01" * 31, b"\xff" * 31]), st.binary(min_size=1, max_size=1)).map(
        b"".join
    ),
)
items = st.tuples(st.one_of(st.integers(0, FOREVER - 1), st.integers(0, 3)), ids)


@pytest.mark.slow
@given(st.lists(items, max_size=100))
def test_items_are_sorted_and_kept_once(given_items: list[Item]) -> None:
    kept = Items([*given_items, *given_items[::2]])
    assert len(kept) == len(set(given_items))
    assert [kept[index] for index in range(len(kept))] == [
        time.to_bytes(8, "big") + id for time, id in sorted(set(given_items))
    ]


@given(st.lists(items, max_size=100), st.data())
def test_a_fingerprint_is_that_of_the_ids_added_one_by_one(given_items: list[Item], data: st.DataObject) -> None:
    kept, ordered = Items(iter(given_items)), sorted(set(given_items))
    start = data.draw(st.integers(0, len(ordered)))
    stop = data.draw(st.integers(start, len(ordered)))
    total = sum(int.from_bytes(id, "little") for _, id in ordered[start:stop])
    assert kept.fingerprint(start, stop) == fingerprint(total, stop - start)
    assert kept.ids(start, stop) == b"".join(id for _, id in ordered[start:stop])


@given(st.lists(items, min_size=2, max_size=30))
def test_the_bound_between_two_items_is_the_shortest_that_separates_them(given_items: list[Item]) -> None:
    kept, ordered = Items(given_items), sorted(set(given_items))
    for index, (before, after) in enumerate(pairwise(ordered), 1):
        bound = kept.bound_before(index)
        assert kept[index - 1] < bound <= kept[index]
        assert kept.find(bound, 0, len(kept)) == index
        time, prefix = shortest(before, after)
        assert bound == time.to_bytes(8, "big") + prefix
        assert not kept[index - 1] < bound[:-1] or len(bound) == 8, "no shorter one does"


@given(st.lists(items, max_size=50))
def test_every_item_lies_between_the_bounds_of_everything(given_items: list[Item]) -> None:
    kept = Items(given_items)
    assert kept.find(LOWEST, 0, len(kept)) == 0
    assert kept.find(HIGHEST, 0, len(kept)) == len(kept)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((-1, bytes(32)), "from 0 to 18446744073709551614"),
        ((2**64, bytes(32)), "from 0 to 18446744073709551614"),
        ((2**64 - 1, bytes(32)), "stands for infinity"),
        ((1, bytes(31)), "an id has 31 bytes, expected 32"),
        ((1, bytes(33)), "an id has 33 bytes, expected 32"),
        ((1, b""), "an id has 0 bytes, expected 32"),
    ],
)
def test_what_is_no_item_is_refused(wrong: Item, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Items([(5, bytes(32)), wrong, (6, bytes(32))])
