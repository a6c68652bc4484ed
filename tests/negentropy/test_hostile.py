"""A relay that lies, contradicts itself or never ends: a named error or a right result, and never much memory."""

import tracemalloc
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.negentropy import (
    ContradictoryAnswer,
    EndlessConversation,
    LimitExceeded,
    MalformedMessage,
    NegentropyError,
    Reconciliation,
    UnsupportedVersion,
)
from tests.negentropy.relay_side import (
    FINGERPRINT,
    ID_LIST,
    INFINITY,
    SKIP,
    Item,
    RelaySide,
    Sent,
    read,
    talk,
    varint,
    written,
)
from tests.negentropy.test_reconciliation import assert_right, made

Answer = Callable[[bytes], bytes]

OURS = made(1_000, "ours", 10**4)
THEIRS = OURS[100:] + made(100, "theirs", 10**4)
FIRST, LAST = min(OURS)[0], max(OURS)[0]
LYING = Random(16)


def honest(frame: int = 0) -> RelaySide:
    return RelaySide(THEIRS, frame)


def lie() -> bytes:
    return LYING.randbytes(16)


def changed(change: Callable[[Sent], list[Sent]]) -> Answer:
    """An honest relay's answers, with every range changed."""
    relay = honest()
    return lambda message: written(part for sent in read(relay.answer(message)) for part in change(sent))


def in_mode(wanted: int, change: Callable[[Sent], list[Sent]]) -> Callable[[Sent], list[Sent]]:
    return lambda sent: change(sent) if sent.mode == wanted else [sent]


def refused(
    answer: Answer, error: type[NegentropyError], said: str, ours: list[Item] = OURS, **bounds: int
) -> None:
    """`answer` ends the conversation in `error`, and for good."""
    client = Reconciliation(ours, **bounds)
    with pytest.raises(error, match=said) as caught:
        talk(client, answer)
    assert type(caught.value) is error
    assert not client.finished
    assert client.settled_until < 2**64 - 1
    with pytest.raises(RuntimeError, match="the conversation is failed"):
        client.answered(b"a")


# -- it never ends --


def test_one_lying_fingerprint_over_and_over() -> None:
    refused(lambda _: written([Sent(INFINITY, FINGERPRINT, lie())]), EndlessConversation, "17 answers in a row")


def test_a_lying_fingerprint_for_each_of_ours() -> None:
    def answer(message: bytes) -> bytes:
        return written(Sent(sent.upper, FINGERPRINT, lie()) for sent in read(message))

    refused(answer, EndlessConversation, "17 answers in a row")


@pytest.mark.slow
def test_lying_fingerprints_of_ever_smaller_ranges() -> None:
    def answer(message: bytes) -> bytes:
        parts, lower = [], 0
        for sent in read(message):
            middle = (lower + min(sent.upper[0], LAST + 1)) // 2
            if lower < middle < sent.upper[0] and sent.mode != SKIP:
                parts.append(Sent((middle, b""), FINGERPRINT, lie()))
            parts.append(Sent(sent.upper, FINGERPRINT, lie()))
            lower = sent.upper[0]
        return written(parts)

    refused(answer, EndlessConversation, "17 answers in a row")


def one_list_at_a_time(ids: Callable[[], list[bytes]]) -> Answer:
    """Each answer settles one more second."""
    seconds = iter(range(1, 10**6))

    def answer(_: bytes) -> bytes:
        second = next(seconds)
        listed = [Sent((second - 1, b""), SKIP, b""), Sent((second, b""), ID_LIST, ids())]
        return written([*listed[second == 1 :], Sent(INFINITY, FINGERPRINT, lie())])

    return answer


@pytest.mark.slow
def test_one_second_settled_in_each_answer() -> None:
    answer = one_list_at_a_time(list)
    refused(answer, EndlessConversation, "1000 answers settled the seconds below 1000 only")


def test_an_honest_relay_that_takes_more_rounds_than_allowed() -> None:
    refused(honest(4_096).answer, EndlessConversation, "3 answers settled", max_rounds=3)


# -- it is too much --


def test_an_answer_longer_than_allowed() -> None:
    refused(lambda _: b"a" + bytes(500_000), LimitExceeded, "500001 bytes .answer_limit.")


def test_ids_without_end() -> None:
    random = Random(1)
    answer = one_list_at_a_time(lambda: [random.randbytes(32) for _ in range(10_000)])
    refused(answer, LimitExceeded, "50000 ids that we do not have .max_need.", max_need=40_000)


def test_more_of_ours_gone_than_allowed() -> None:
    refused(RelaySide([]).answer, LimitExceeded, "lacks 1000 ids that we have .max_have.", max_have=999)


def test_more_open_ranges_than_allowed() -> None:
    def answer(message: bytes) -> bytes:
        first = read(message)[0].upper[0]
        parts = [Sent((second, b""), FINGERPRINT, lie()) for second in range(FIRST - 300, first)]
        return written([*parts, Sent(INFINITY, FINGERPRINT, lie())])

    refused(answer, LimitExceeded, r"ranges are open .max_open.", max_open=300)


def test_a_count_of_ids_that_nobody_could_send() -> None:
    refused(lambda _: b"a\x00\x00\x02" + varint(2**64 - 1) + bytes(32), MalformedMessage, "bytes should follow")


# -- it contradicts itself --


def test_a_list_of_ours_that_is_skipped() -> None:
    refused(lambda _: b"a", ContradictoryAnswer, "the list of our ids from second 0 to infinity was not", ours=[])
    refused(
        changed(in_mode(ID_LIST, lambda sent: [Sent(sent.upper, SKIP, b"")])),
        ContradictoryAnswer,
        "was not answered",
    )


def test_a_part_of_a_range_that_is_skipped() -> None:
    def answer(message: bytes) -> bytes:
        first = read(message)[0].upper[0]
        return written([Sent((first - 5, b""), ID_LIST, [])])

    refused(answer, ContradictoryAnswer, "was answered in part")


def test_a_list_for_what_was_not_asked() -> None:
    before = iter([0])

    def answer(message: bytes) -> bytes:
        for _ in before:
            return honest().answer(message)
        return written([Sent((FIRST, b""), ID_LIST, [])])

    refused(answer, ContradictoryAnswer, "ids are listed from second 0 to [0-9]+, which was not asked for")


def test_a_list_across_two_ranges() -> None:
    refused(lambda _: written([Sent(INFINITY, ID_LIST, [])]), ContradictoryAnswer, "which was not asked for")


def test_a_list_in_an_empty_range() -> None:
    answer = written([Sent(INFINITY, ID_LIST, []), Sent(INFINITY, ID_LIST, [bytes(32)])])
    refused(lambda _: answer, ContradictoryAnswer, "which was not asked for", ours=[])
    client = Reconciliation([])
    client.open()
    assert client.answered(written([Sent(INFINITY, ID_LIST, []), Sent(INFINITY, FINGERPRINT, lie())])) is None


@pytest.mark.parametrize(
    ("lower", "upper", "id", "said"),
    [
        ((7, b"\x05"), (7, b"\x08"), b"\x08" + bytes(31), "among the ids from 05 to 08 of second 7"),
        ((7, b"\x05"), (7, b"\x08"), b"\x04" + b"\xff" * 31, "among the ids from 05 to 08 of second 7"),
        ((7, b"\x05"), (8, b""), b"\x04" + b"\xff" * 31, "among the ids from 05 to the last of second 7"),
        ((7, b""), (7, b"\x08"), b"\x08" + bytes(31), "among the ids from 00 to 08 of second 7"),
        ((7, b""), (7, b"\x08" * 32), b"\x08" * 32, f"among the ids from 00 to {'08' * 32} of second 7"),
    ],
)
def test_ids_outside_the_bounds_of_one_second(
    lower: tuple[int, bytes], upper: tuple[int, bytes], id: bytes, said: str
) -> None:
    answer = written([Sent(lower, ID_LIST, []), Sent(upper, ID_LIST, [id])])
    refused(lambda _: answer, ContradictoryAnswer, said, ours=[])


@pytest.mark.parametrize(
    ("lower", "upper", "seconds"),
    [((7, b"\x05"), (7, b"\x08"), (7, 7)), ((7, b"\x05"), (8, b""), (7, 7)), ((7, b"\x05"), (8, b"\x01"), (7, 8))],
)
def test_ids_within_the_bounds_of_their_seconds(
    lower: tuple[int, bytes], upper: tuple[int, bytes], seconds: tuple[int, int]
) -> None:
    client, id = Reconciliation([]), b"\x05" + bytes(31)
    client.open()
    places = [Sent(lower, ID_LIST, []), Sent(upper, ID_LIST, [id]), Sent(INFINITY, ID_LIST, [])]
    assert client.answered(written(places)) is None
    assert client.need == {id: seconds}


def test_ids_of_ours_at_times_that_they_do_not_have() -> None:
    ours = made(20, "few")

    def answer(_: bytes) -> bytes:
        return written([Sent((FIRST - 10**6, b""), ID_LIST, [ours[0][1]]), Sent(INFINITY, ID_LIST, [])])

    refused(answer, ContradictoryAnswer, f"id {ours[0][1].hex()} is listed at a time", ours=ours)


# -- it is no message --


def test_another_version() -> None:
    refused(lambda _: b"b", UnsupportedVersion, "version 2")


def test_bounds_that_descend() -> None:
    backwards = written([Sent((9, b"\x02"), FINGERPRINT, lie()), Sent((9, b"\x01"), FINGERPRINT, lie())])
    refused(lambda _: backwards, MalformedMessage, "below the one before it")


def test_bytes_after_infinity() -> None:
    refused(lambda message: honest().answer(message) + b"\x01", MalformedMessage, "ends within a number")


# -- it is odd, and right --


def test_ids_that_are_listed_twice_count_once() -> None:
    client = Reconciliation(OURS)
    talk(client, changed(in_mode(ID_LIST, lambda sent: [Sent(sent.upper, ID_LIST, [*sent.said, *sent.said])])))  # type: ignore[list-item]
    assert_right(client, OURS, THEIRS)
    assert len(client.take_need()) == len(client.need)


def test_a_relay_that_lists_everything() -> None:
    relay, client = honest(), Reconciliation(OURS)

    def answer(message: bytes) -> bytes:
        start, parts = 0, []
        for sent in read(message):
            stop = relay.index(sent.upper)
            said = relay.ids(start, stop) if sent.mode != SKIP else b""
            parts.append(Sent(sent.upper, ID_LIST if sent.mode != SKIP else SKIP, said))
            start = stop
        return written(parts)

    talk(client, answer)
    assert_right(client, OURS, THEIRS)
    assert client.rounds == 1


def test_fingerprints_that_lie_before_lists_that_do_not() -> None:
    client = Reconciliation(OURS)
    talk(client, changed(in_mode(FINGERPRINT, lambda sent: [Sent(sent.upper, FINGERPRINT, lie())])))
    assert_right(client, OURS, THEIRS)


def test_ranges_that_are_empty() -> None:
    client = Reconciliation(OURS)
    talk(client, changed(lambda sent: [sent, Sent(sent.upper, SKIP, b""), Sent(sent.upper, FINGERPRINT, lie())]))
    assert_right(client, OURS, THEIRS)


def test_zeros_at_the_ends_of_prefixes() -> None:
    client = Reconciliation(OURS)

    def padded(sent: Sent) -> list[Sent]:
        time, prefix = sent.upper
        return [Sent((time, prefix.ljust(32, b"\0")), *sent[1:])] if sent.upper != INFINITY else [sent]

    talk(client, changed(padded))
    assert_right(client, OURS, THEIRS)


@pytest.mark.parametrize("since", [0, FIRST + 100])
def test_one_fingerprint_of_all_that_both_sides_hold(since: int) -> None:
    """It proves what lies in it, though it was not asked for as a whole."""
    relay, client = RelaySide(OURS), Reconciliation(OURS)
    first = relay.index((since, b""))

    def answer(_: bytes) -> bytes:
        parts = [
            Sent((since, b""), FINGERPRINT, relay.fingerprint(0, first)),
            Sent(INFINITY, FINGERPRINT, relay.fingerprint(first, len(OURS))),
        ]
        return written(parts)

    assert len(talk(client, answer).sent) == 1
    assert_right(client, OURS, OURS)


def test_one_fingerprint_of_all_after_most_is_settled() -> None:
    relay, client = RelaySide(OURS), Reconciliation(OURS)
    whole = written([Sent(INFINITY, FINGERPRINT, relay.fingerprint(0, len(OURS)))])

    def answer(message: bytes) -> bytes:
        if client.rounds:
            return whole
        before_last = read(message)[-2].upper
        return written([Sent(before_last, SKIP, b""), Sent(INFINITY, FINGERPRINT, lie())])

    assert len(talk(client, answer).sent) == 2
    assert_right(client, OURS, OURS)


@pytest.mark.parametrize("part", [slice(62), slice(938, None)], ids=["first", "last"])
def test_a_fingerprint_of_a_part_is_none_of_the_whole(part: slice) -> None:
    """What the relay does not hold is found, though its last fingerprint is that of a range we asked for."""
    held = sorted(OURS)[part]
    relay, client = RelaySide(held), Reconciliation(OURS)
    first = iter([written([Sent(INFINITY, FINGERPRINT, relay.fingerprint(0, len(held)))])])
    talk(client, lambda message: next(first, None) or relay.answer(message))
    assert_right(client, OURS, held)


def test_an_echo_claims_that_both_sides_are_equal() -> None:
    client = Reconciliation(OURS)
    talk(client, lambda message: message)
    assert (len(client.need), len(client.have)) == (0, 0)


@pytest.mark.slow
@given(st.integers(0, 10**6), st.sampled_from([0, 4_096]))
@settings(max_examples=50)
def test_a_set_that_changes_meanwhile(seed: int, frame: int) -> None:
    random = Random(seed)
    always, now_and_then = made(600, (seed, 1), 500), made(300, (seed, 2), 500)
    ours = always[50:] + now_and_then[::3]
    client = Reconciliation(ours, frame_limit=4_096)

    def answer(message: bytes) -> bytes:
        return RelaySide([*always, *(item for item in now_and_then if random.random() < 0.5)], frame).answer(
            message
        )

    talk(client, answer)
    assert client.need.keys() >= {id for _, id in always[:50]}
    assert client.need.keys() <= {id for _, id in always[:50]} | {id for _, id in now_and_then}
    assert client.have.keys() <= {id for _, id in now_and_then[::3]}


@pytest.mark.slow
def test_every_answer_that_breaks_off_ends_in_an_error_or_goes_on() -> None:
    ours = OURS[:200]
    whole = honest(4_096).answer(Reconciliation(ours).open())
    for size in range(len(whole)):
        client = Reconciliation(ours)
        client.open()
        try:
            client.answered(whole[:size])
        except (MalformedMessage, ContradictoryAnswer):
            assert not client.finished


# -- memory and time --


FULL: dict[str, Callable[[], bytes]] = {
    "skips": lambda: written(Sent((second, b""), SKIP, b"") for second in range(160_000)),
    "empty ranges": lambda: b"a" + b"\x01\x00\x00" * 166_000,
    "fingerprints": lambda: written(Sent((second * 10**5, b""), FINGERPRINT, lie()) for second in range(22_000)),
    "empty lists": lambda: written(Sent((second, b""), ID_LIST, []) for second in range(1, 120_000)),
    "ids": lambda: written([Sent(INFINITY, ID_LIST, [LYING.randbytes(32) for _ in range(15_600)])]),
    "one id": lambda: written([Sent(INFINITY, ID_LIST, [bytes(32)] * 15_600)]),
    "zeros": lambda: b"a" + bytes(499_999),
    "digits": lambda: b"a" + b"\xff" * 499_999,
}
"""Answers as long as any may be, made of one kind of range."""


@pytest.mark.slow
@pytest.mark.parametrize("ours", [[], OURS], ids=["empty", "full"])
@pytest.mark.parametrize("name", FULL)
def test_the_longest_answers_take_little_memory(name: str, ours: list[Item]) -> None:
    answer = FULL[name]()
    assert 400_000 < len(answer) <= 500_000
    client = Reconciliation(ours)
    client.open()
    tracemalloc.start()
    try:
        client.answered(answer)
    except NegentropyError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * 10**6


def test_an_answer_of_more_ranges_than_anybody_sends() -> None:
    refused(lambda _: FULL["empty ranges"](), LimitExceeded, "more than 31250 ranges .answer_limit.")
