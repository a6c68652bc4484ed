"""Whatever two honest sides hold, the client learns exactly what either lacks."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.negentropy import Reconciliation, read_message
from bigbrotr_dagster.negentropy.wire import NEVER
from tests.negentropy.relay_side import INFINITY, Item, RelaySide, talk, written

FRAME = 4_096
"""The smallest; with it a few hundred items make a conversation of many messages."""


def made(count: int, seed: object, seconds: int = 10**6) -> list[Item]:
    """Random items, the same for a seed; with few seconds, many in one."""
    random = Random(repr(seed))
    return [(1_700_000_000 + random.randrange(seconds), random.randbytes(32)) for _ in range(count)]


def assert_right(client: Reconciliation, ours: list[Item], theirs: list[Item]) -> None:
    """`client`, which held `ours`, knows all of the difference to `theirs`."""
    held, other = set(ours), set(theirs)
    assert client.finished
    assert set(client.need) == {id for _, id in other - held}
    assert dict(client.have) == {id: time for time, id in held - other}
    for time, id in other - held:
        since, until = client.need[id]
        assert since <= time <= until
    assert client.estimate == (len(other), 0, 0)
    assert client.settled_until == NEVER


@st.composite
def pairs_of_sets(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Two sets that share all, some or none of their items; of any size up to some thousand."""
    size = st.sampled_from([0, 1, 2, 15, 31, 32, 33, 100, 511, 1_000, 2_500])
    seconds = draw(st.sampled_from([1, 3, 1_000, 10**6]))
    seed = draw(st.integers(0, 10**6))
    shared = made(draw(size), (seed, 0), seconds)
    ours, theirs = made(draw(size), (seed, 1), seconds), made(draw(size), (seed, 2), seconds)
    few = draw(st.booleans())
    return shared + ours[: 9 if few else None], shared + theirs[: 9 if few else None]


relays = st.fixed_dictionaries(
    {
        "frame": st.sampled_from([0, FRAME, 9_000, 60_000]),
        "buckets": st.sampled_from([2, 16, 64]),
        "list_below": st.sampled_from([1, 2, 32, 200]),
    }
)


@pytest.mark.slow
@given(pairs_of_sets(), relays, st.sampled_from([FRAME, 60_000]))
def test_the_difference_is_found(sets: tuple[list[Item], list[Item]], relay: dict[str, int], limit: int) -> None:
    ours, theirs = sets
    if relay["list_below"] < relay["buckets"]:
        relay["list_below"] = relay["buckets"]
    client = Reconciliation(ours, frame_limit=limit)
    heard = talk(client, RelaySide(theirs, **relay).answer)
    assert_right(client, ours, theirs)
    assert max(map(len, heard.sent)) <= limit
    assert client.rounds == len(heard.received)


@pytest.mark.slow
@given(pairs_of_sets(), st.sampled_from([FRAME, 9_000]))
def test_what_is_said_on_the_way_is_true(sets: tuple[list[Item], list[Item]], frame: int) -> None:
    ours, theirs = sets
    held, other = set(ours), set(theirs)
    client = Reconciliation(ours, frame_limit=FRAME)
    relay = RelaySide(theirs, frame)
    assert (client.settled_until, client.estimate.relay_size) == (0, len(held))
    needed: list[bytes] = []
    had: list[bytes] = []
    message: bytes | None = client.open()
    before = 0
    while message is not None:
        message = client.answered(relay.answer(message))
        settled = client.settled_until
        assert settled >= before, "nothing is unsettled again"
        before = settled
        assert client.need.keys() >= {id for time, id in other - held if time < settled}
        assert client.have.keys() >= {id for time, id in held - other if time < settled}
        assert client.need.keys() <= {id for _, id in other - held}
        assert client.have.keys() <= {id for _, id in held - other}
        left = len(held ^ other) - len(client.need) - len(client.have)
        assert client.estimate.differences <= left
        assert client.estimate.unsettled >= len(held - other) - len(client.have)
        needed += client.take_need()
        had += client.take_have()
        assert (client.take_need(), client.take_have()) == ([], [])
    assert needed == list(client.need)
    assert had == list(client.have)


@pytest.mark.slow
@given(pairs_of_sets())
def test_the_first_message_is_that_of_other_programs(sets: tuple[list[Item], list[Item]]) -> None:
    ours, _ = sets
    other = RelaySide(ours)
    assert Reconciliation(ours).open() == written(other.split(0, len(other.items), INFINITY))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 5_000])
def test_equal_sets_take_one_answer(size: int) -> None:
    ours = made(size, "equal")
    client = Reconciliation(ours + ours[: size // 2])
    heard = talk(client, RelaySide(ours).answer)
    assert_right(client, ours, ours)
    assert client.size == size
    assert len(heard.sent) == 1
    assert len(heard.received[0]) == (1 if size >= 32 else 5 + 32 * size)


def test_one_second_may_hold_everything() -> None:
    common = [(5, bytes(30) + number.to_bytes(2, "big")) for number in range(3_000)]
    client = Reconciliation(common[100:])
    talk(client, RelaySide(common[:-100], FRAME).answer)
    assert_right(client, common[100:], common[:-100])


def test_ids_of_zeros_and_ones_at_both_ends_of_time() -> None:
    ends = [
        (0, bytes(32)),
        (0, b"\xff" * 32),
        (1, b"\0" * 31 + b"\1"),
        (2**63, b"\xfe" * 32),
        (2**64 - 2, b"\xfd" * 32),
    ]
    for ours, theirs in ((ends, []), ([], ends), (ends[::2], ends[1::2]), (made(100, 1) + ends, made(100, 1))):
        client = Reconciliation(ours)
        talk(client, RelaySide(theirs).answer)
        assert_right(client, ours, theirs)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_crowds_that_only_the_relay_holds_are_found(seed: int) -> None:
    """Programs drop what exceeds their frame, and end with the fingerprint of what follows it.

    Where we hold nothing in what they dropped, that fingerprint may be ours, though its bounds say more.
    """
    random = Random(seed)
    ours, crowds = [], []
    for start in range(0, random.randint(1, 40) * 10_000, 10_000):
        ours += [
            (start + random.randrange(5_000), random.randbytes(32)) for _ in range(random.choice([0, 2, 30, 100]))
        ]
        size = random.choice([0, 0, 40, 200, 1_000])
        crowds += [(start + 5_000 + random.randrange(5_000), random.randbytes(32)) for _ in range(size)]
    client = Reconciliation(ours, frame_limit=FRAME)
    talk(client, RelaySide(ours + crowds, FRAME).answer)
    assert_right(client, ours, ours + crowds)


@pytest.mark.parametrize("theirs", [150, 1_500, 15_000])
@pytest.mark.parametrize("ours", [0, 2, 100, 5_000])
@pytest.mark.parametrize("shared", [0, 1_000])
def test_a_relay_without_room_for_its_answer_to_one_question_is_asked_otherwise(
    theirs: int, ours: int, shared: int
) -> None:
    """It lists up to 199 ids, of which 122 fit its frame: so it drops what differs, and ends there, every time."""
    common = made(shared, "common")
    held, other = common + made(ours, "ours", 10**5), common + made(theirs, "theirs", 10**5)
    client = Reconciliation(held, frame_limit=FRAME)
    talk(client, RelaySide(other, FRAME, buckets=2, list_below=200).answer)
    assert_right(client, held, other)
    assert client.rounds < 50 + (ours + theirs + shared) // 20


HUNDRED_THOUSAND = 100_000


@pytest.fixture(scope="module")
def many() -> list[Item]:
    return made(HUNDRED_THOUSAND, "many", 10**8)


@pytest.mark.slow
@pytest.mark.parametrize("frame", [60_000, 500_000])
def test_a_hundred_thousand_items_and_fifty_differences_either_way(many: list[Item], frame: int) -> None:
    client = Reconciliation(many[50:])
    heard = talk(client, RelaySide(many[:-50], frame).answer)
    assert_right(client, many[50:], many[:-50])
    assert len(heard.sent) <= 3
    assert sum(map(len, heard.sent)) < 40_000
    assert sum(map(len, heard.received)) < 90_000


@pytest.mark.slow
def test_a_hundred_thousand_items_that_we_do_not_have_are_listed(many: list[Item]) -> None:
    client = Reconciliation([])
    heard = talk(client, RelaySide(many, 60_000).answer)
    assert_right(client, [], many)
    assert sum(map(len, heard.received)) < 33 * len(many)


@pytest.mark.slow
def test_a_relay_of_the_smallest_frames_lists_a_hundred_thousand_ids_within_the_rounds(many: list[Item]) -> None:
    client = Reconciliation([])
    talk(client, RelaySide(many, FRAME).answer)
    assert_right(client, [], many)


@pytest.mark.slow
def test_nothing_in_common_with_a_hundred_thousand_items_either_way(many: list[Item]) -> None:
    other = made(HUNDRED_THOUSAND, "other", 10**8)
    client = Reconciliation(other)
    heard = talk(client, RelaySide(many, 60_000).answer)
    assert_right(client, other, many)
    assert sum(map(len, heard.sent)) < 1_000_000, "few ranges are asked for in vain"


@pytest.mark.slow
def test_an_item_takes_no_more_than_sixty_bytes(many: list[Item]) -> None:
    tracemalloc.start()
    try:
        client = Reconciliation(iter(many))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.size == len(many)
    assert kept < 60 * len(many), "32 of them are the id"
    assert peak < 132 * len(many), "and 100 beyond it while they are sorted"


def test_calls_out_of_turn_are_the_callers_fault() -> None:
    client = Reconciliation([])
    with pytest.raises(RuntimeError, match="the conversation is new"):
        client.answered(b"a")
    message = client.open()
    with pytest.raises(RuntimeError, match="open already"):
        client.open()
    assert client.answered(RelaySide([]).answer(message)) is None
    with pytest.raises(RuntimeError, match="the conversation is finished"):
        client.answered(b"a")


def test_a_conversation_begins_again_with_another_set() -> None:
    ours, theirs = made(1_000, "ours"), made(1_000, "theirs")
    client = Reconciliation(ours)
    first = client.open()
    client.answered(RelaySide(theirs).answer(first))
    for others in (ours[5:], theirs):  # in the midst of one, and after the end
        rounds = client.rounds
        assert client.again() == first
        assert (client.rounds, client.settled_until, client.finished) == (rounds, 0, False)
        assert not client.need
        assert not client.have
        relay = RelaySide(others)
        message: bytes | None = first
        while message is not None:
            message = client.answered(relay.answer(message))
        assert_right(client, ours, others)


def test_a_frame_too_small_for_one_range_is_refused() -> None:
    with pytest.raises(ValueError, match="frame_limit is 4095, expected at least 4096"):
        Reconciliation([], frame_limit=4_095)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_what_is_sent_can_be_read(seed: int) -> None:
    client = Reconciliation(made(700, seed, 50), frame_limit=FRAME)
    heard = talk(client, RelaySide(made(700, seed + 1, 50)).answer)
    for message in heard.sent:
        assert list(read_message(message))
