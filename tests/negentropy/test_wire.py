"""Every message can be read again, and nothing else is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.negentropy import (
    MalformedMessage,
    Mode,
    Range,
    UnsupportedVersion,
    fingerprint,
    read_message,
)
from bigbrotr_dagster.negentropy.wire import HIGHEST, LOWEST, MessageWriter, encode_varint
from tests.negentropy.relay_side import FOREVER, INFINITY, Sent, varint, written

times = st.one_of(st.integers(0, FOREVER - 1), st.integers(1_700_000_000, 1_700_000_003))
prefixes = st.binary(max_size=32).map(lambda prefix: prefix.rstrip(b"\0"))
bounds = st.tuples(times, prefixes)
Said = tuple[tuple[int, bytes], tuple[Mode, bytes]]
payloads = st.one_of(
    st.just((Mode.SKIP, b"")),
    st.tuples(st.just(Mode.FINGERPRINT), st.binary(min_size=16, max_size=16)),
    st.tuples(st.just(Mode.ID_LIST), st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(b"".join)),
)


def ranges(data: bytes) -> list[Range]:
    return list(read_message(data))


def as_bound(time: int, prefix: bytes) -> bytes:
    return time.to_bytes(8, "big") + prefix


@given(st.integers(0, FOREVER))
def test_a_number_is_written_in_as_few_digits_as_possible(value: int) -> None:
    digits = encode_varint(value)
    assert digits == varint(value)
    assert len(digits) == max(1, -(-value.bit_length() // 7))


@given(st.lists(st.tuples(bounds, payloads), max_size=20), st.booleans())
def test_what_is_written_is_read_again(said: list[Said], ends: bool) -> None:
    said.sort(key=lambda one: one[0])
    if ends:
        said.append((INFINITY, (Mode.SKIP, b"")))
    writer, lower, expected = MessageWriter(10**6), LOWEST, []
    for (time, prefix), (mode, payload) in said:
        upper = as_bound(time, prefix)
        assert writer.add(lower, upper, mode, payload)
        expected.append(Range(lower, upper, mode, payload))
        lower = upper
    if not ends:
        expected.append(Range(lower, HIGHEST, Mode.SKIP, b""))
    assert ranges(writer.finish()) == expected
    ids = [[payload[at : at + 32] for at in range(0, len(payload), 32)] for _, (_, payload) in said]
    theirs = [
        Sent(upper, mode, listed if mode is Mode.ID_LIST else payload)
        for (upper, (mode, payload)), listed in zip(said, ids, strict=True)
    ]
    assert writer.finish() == written(theirs), "and as another writer puts it"


@given(st.lists(bounds, min_size=2, max_size=20, unique=True))
def test_what_lies_between_is_skipped(places: list[tuple[int, bytes]]) -> None:
    uppers = [as_bound(*place) for place in sorted(places)]
    writer = MessageWriter(10**6)
    pairs = list(zip(uppers[::2], uppers[1::2], strict=False))
    for lower, upper in pairs:
        assert writer.add(lower, upper, Mode.FINGERPRINT, bytes(16))
    found = [part for part in ranges(writer.finish()) if part.mode is not Mode.SKIP]
    assert [(part.lower, part.upper) for part in found] == pairs


@pytest.mark.slow
@given(st.lists(st.tuples(bounds, payloads), min_size=1, max_size=20), st.integers(1, 300))
def test_a_range_that_does_not_fit_leaves_the_message_as_it_was(said: list[Said], limit: int) -> None:
    writer, lower = MessageWriter(limit), LOWEST
    for place, (mode, payload) in sorted(said, key=lambda one: one[0]):
        before = writer.finish()
        if writer.add(lower, as_bound(*place), mode, payload):
            lower = as_bound(*place)
        else:
            assert writer.finish() == before
        assert len(writer.finish()) <= limit
    ranges(writer.finish())


def test_times_are_above_the_bound_before_and_begin_anew_with_each_message() -> None:
    sent = [
        Sent((1_000, b""), 0, b""),
        Sent((1_000, b"\x05"), 0, b""),
        Sent((1_300, b""), 0, b""),
        Sent(INFINITY, 0, b""),
    ]
    data = written(sent)
    assert data.hex() == "618769000001010500822d0000000000"
    uppers = [as_bound(1_000, b""), as_bound(1_000, b"\x05"), as_bound(1_300, b""), HIGHEST]
    for _ in range(2):
        assert [part.upper for part in ranges(data)] == uppers


def test_zeros_at_the_end_of_a_prefix_say_nothing() -> None:
    short = written([Sent((7, b"\x01"), 1, bytes(16))])
    long = written([Sent((7, b"\x01\0\0"), 1, bytes(16))])
    assert ranges(short) == ranges(long)
    ranges(written([Sent((7, b"\x01\0\0"), 0, b""), Sent((7, b"\x01\0"), 0, b"")]))


def test_an_empty_range_is_read() -> None:
    """Programs append one at their frame limit, behind a list that reached infinity."""
    data = written([Sent(INFINITY, 2, [bytes(32)]), Sent(INFINITY, 1, bytes(16))])
    assert [part.mode for part in ranges(data)] == [Mode.ID_LIST, Mode.FINGERPRINT]


def test_the_fingerprint_of_the_protocols_document() -> None:
    """SHA-256 of the sum (32 bytes, little-endian) and the count; computed by hand with sha256sum."""
    assert fingerprint(0, 0).hex() == "7f9c9e31ac8256ca2f258583df262dbc"
    assert fingerprint(2**256 + 1, 200) == fingerprint(1, 200)


RIGHT = written([Sent((1_000, b"\x05"), 1, bytes(16)), Sent(INFINITY, 2, [bytes(32)])])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the message is empty"),
        (b"\x00", "begins with 0x00"),
        (b"a\x80", "a number begins with a zero digit"),
        (b"a\x81", "ends within a number"),
        (b"a\x80\x01\x00\x00", "a number begins with a zero digit"),
        (b"a\x01\x80\x00\x00", "a number begins with a zero digit"),
        (b"a" + b"\xff" * 9 + b"\x7f\x00\x00", "more than 64 bits"),
        (b"a" + b"\xff" * 10 + b"\x7f\x00\x00", "more than 64 bits"),
        (b"a" + b"\xff" * 100_000, "more than 64 bits"),
        (b"a\x01\x21" + bytes(34), "33 bytes of an id"),
        (b"a\x01\x02\x05", "2 bytes should follow"),
        (b"a\x01\x00", "ends within a number"),
        (b"a\x01\x00\x03", "mode 3"),
        (b"a\x01\x00\x01" + bytes(15), "16 bytes should follow"),
        (b"a\x01\x00\x02\x02" + bytes(63), "64 bytes should follow"),
        (b"a\x01\x00\x02" + varint(2**64 - 1), "bytes should follow"),
        (b"a\x00\x01\x05\x00", "beyond infinity"),
        (b"a\x00\x00\x00\x02\x00\x00", "beyond infinity"),
        (b"a" + varint(2**64 - 1) + b"\x00\x00\x02\x00\x00", "beyond infinity"),
        (written([Sent((5, b"\x07"), 0, b""), Sent((5, b"\x06"), 0, b"")]), "below the one before it"),
        (written([Sent((5, b"\x07"), 0, b""), Sent((5, b""), 0, b"")]), "below the one before it"),
        (RIGHT + b"\x01", "ends within a number"),
        (RIGHT + b"\x01\x00\x00", "beyond infinity"),
    ],
)
def test_what_is_no_message_is_malformed(data: bytes, said: str) -> None:
    with pytest.raises(MalformedMessage, match=said):
        ranges(data)


def test_a_message_that_breaks_off_is_malformed_unless_a_range_ends_there() -> None:
    whole = ranges(RIGHT)
    for size in range(1, len(RIGHT)):
        try:
            assert ranges(RIGHT[:size])[:-1] == whole[:-1][: len(ranges(RIGHT[:size])) - 1]
        except MalformedMessage:
            continue
        assert size in (1, 1 + len(written([Sent((1_000, b"\x05"), 1, bytes(16))])) - 1)


@pytest.mark.parametrize("version", [0, 2, 15])
def test_another_version_is_told_by_its_number(version: int) -> None:
    with pytest.raises(UnsupportedVersion, match=f"speaks version {version}") as caught:
        ranges(bytes([0x60 + version]))
    assert caught.value.version == version
