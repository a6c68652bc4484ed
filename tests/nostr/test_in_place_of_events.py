"""What comes in place of an event: it is counted, with the second that it claims, and kept; or it is an event."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.messages import Closed, Notice, parse_message
from bigbrotr_dagster.nostr.subscription import MAX_REJECTED_KEPT, Reply, Subscription
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from tests.nostr.helpers import A, ask, received, send, signed

SUB = "0123456789abcdef"
AT = 1_700_000_000
EVENT = signed(AT, content="@", tags=[["t", "x"]])
RAW = EVENT.to_json()


def page_of(*messages: bytes, selection: Filter | None = None, max_event_size: int | None = None) -> Reply:
    subscription = Subscription(
        SUB, selection or Filter(), max_events=1_000, max_bytes=10**7, max_event_size=max_event_size
    )
    for message in messages:
        assert subscription.receive(message) is None
    return subscription.finish(Outcome(Ending.EOSE))


def message(event: bytes, more: bytes = b"]") -> bytes:
    return b'["EVENT","' + SUB.encode() + b'",' + event + more


def with_fields(**changes: object) -> bytes:
    return orjson.dumps(orjson.loads(RAW) | changes)


def without(key: str) -> bytes:
    fields = orjson.loads(RAW)
    del fields[key]
    return orjson.dumps(fields)


CLAIMING = {
    "a number in a tag": message(with_fields(tags=[["expiration", 1234567890]])),
    "a null in a tag": message(with_fields(tags=[["e", None]])),
    "an object in a tag": message(with_fields(tags=[["e", {}]])),
    "null for the content": message(with_fields(content=None)),
    "an object for the content": message(with_fields(content={"created_at": 5})),
    "no signature": message(without("sig")),
    "no kind": message(without("kind")),
    "a foreign id": message(with_fields(id="0" * 64)),
    "other content": message(with_fields(content="forged")),
    "a lone surrogate": message(RAW.replace(b"@", rb"\ud800")),
    "bytes that are not UTF-8": message(RAW.replace(b"@", b"\xff\xfe")),
    "a second as a float": message(with_fields(created_at=float(AT), content="forged")),
    "a control character": message(RAW.replace(b"@", b"\x01forged\n")),
    "a repeated key": message(RAW[:-1] + b',"kind":1}'),
    "a repeated key of two values": message(RAW[:-1] + b',"kind":2}'),
    "deep nesting": message(RAW[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    "a cut message": message(RAW[:-1], b""),
    "a number for the subscription": b'["EVENT",7,' + RAW + b"]",
    "a number of 5,000 digits": message(RAW[:-1] + b',"x":' + b"1" * 5_000 + b"}"),
}
CLAIMING_NOTHING = {
    "no event": message(b"", b""),
    "no third element": b'["EVENT","' + SUB.encode() + b'"]',
    "rubbish after the subscription": b'["EVENT","' + SUB.encode() + b'"rubbish]',
    "null": message(b"null"),
    "an array of events": message(b"[" + RAW + b"]"),
    "no subscription": b'["EVENT"]',
    "a cut subscription": b'["EVENT","01234',
    "two seconds": message(RAW[:-1] + b',"created_at":5}'),
    "two seconds, cut": message(RAW[:-1] + b',"created_at":5', b""),
    "two seconds, one of them escaped, cut": message(RAW[:-1] + rb',"created\u005fat":5', b""),
    "half a second": message(with_fields(created_at=AT + 0.5)),
    "a negative second": message(with_fields(created_at=-1)),
    "a text for the second": message(with_fields(created_at=str(AT))),
    "true for the second": message(with_fields(created_at=True)),
    "true or 1 for the second": message(with_fields(created_at=1)[:-1] + b',"created_at":true}'),
    "a second beyond all requests": message(with_fields(created_at=2**63)),
    "a second that floats cannot tell": message(with_fields(created_at=2.0**60)),
    "an endless second": message(RAW.replace(str(AT).encode(), b"1e400")),
    "a second of 5,000 digits": message(RAW.replace(str(AT).encode(), b"1" * 5_000)),
}


@pytest.mark.parametrize("name", CLAIMING)
def test_it_is_counted_and_kept_with_the_second_that_it_claims(name: str) -> None:
    page = page_of(CLAIMING[name])
    assert (page.events, page.received, page.refused, page.rejected_at) == ([], 1, 1, [AT])
    assert sum(page.rejected_counts.values()) == len(page.rejected) == 1
    assert page.rejected[0].raw.startswith(b'{"')
    assert page.rejected[0].id in (EVENT.id, "0" * 64)


@pytest.mark.parametrize("name", CLAIMING_NOTHING)
def test_it_is_counted_and_kept_where_it_claims_nothing(name: str) -> None:
    page = page_of(CLAIMING_NOTHING[name])
    assert (page.events, page.received, page.refused, page.rejected_at) == ([], 1, 1, [])
    assert (page.rejected_counts, len(page.rejected)) == ({"malformed": 1}, 1)


@pytest.mark.parametrize(
    "genuine",
    [
        message(RAW, b',"more"]'),
        message(RAW, b',{"a":1,"a":2}]'),
        message(RAW, b"," + b"[" * 5_000),
        message(RAW, b',"\xff"]'),
        message(RAW, b"]]rubbish"),
        message(RAW, b""),
        message(RAW[:-1] + b',"seen_on":["wss://a"],"x":{"\xff":NaN}}'),
        message(RAW.replace(str(AT).encode(), b"1.7e9")),
        message(with_fields(id=EVENT.id.upper(), pubkey=EVENT.pubkey.upper(), sig=EVENT.sig.upper())),
        b'["EVENT",' + RAW + b"]",
        b'\xef\xbb\xbf [ "EVENT" , "' + SUB.encode() + b'" , ' + RAW + b" ] ",
        rb'["\u0045VENT","' + SUB.encode() + b'",' + RAW + b"]",
    ],
)
def test_what_is_an_event_by_its_hash_is_taken_however_it_came(genuine: bytes) -> None:
    page = page_of(genuine)
    assert (page.events, page.refused, page.rejected_counts) == ([EVENT], 0, {})


def test_copies_in_another_spelling_are_copies() -> None:
    page = page_of(message(RAW), message(with_fields(id=EVENT.id.upper())), message(with_fields(kind=1.0)))
    assert (page.events, page.duplicates, page.refused) == ([EVENT], 2, 0)


def test_only_the_event_of_a_message_is_kept() -> None:
    """Its bytes are what the same event is known by when it comes again, in a message of another subscription."""
    rejected = with_fields(content="forged")
    for more in (b"]", b',{"a":"}"}]', b"] }"):
        assert page_of(message(rejected, more)).rejected[0].raw == rejected
    assert page_of(message(RAW[:-1], b"")).rejected[0].raw == RAW[:-1]


def test_what_is_too_large_is_refused_and_what_was_not_asked_for_is_not() -> None:
    other = message(signed(AT, kind=7).to_json())
    page = page_of(message(RAW), other, selection=Filter(kinds=(1,)), max_event_size=len(RAW) - 1)
    assert (page.rejected_counts, page.refused) == ({"too_large": 1, "off_filter": 1}, 1)
    assert page.rejected_at == [AT]
    page = page_of(message(RAW), other, selection=Filter(kinds=(1,)))
    assert (page.events, page.rejected_counts, page.refused) == ([EVENT], {"off_filter": 1}, 0)
    assert page.rejected_at == []


def test_all_are_counted_though_only_some_are_kept() -> None:
    page = page_of(*[message(with_fields(content=str(number))) for number in range(300)])
    assert (page.refused, len(page.rejected_at), len(page.rejected)) == (300, 300, MAX_REJECTED_KEPT)


def test_another_subscriptions_broken_event_is_not_ours() -> None:
    page = page_of(b'["EVENT","other",{', b'["EVENT","other",{}]')
    assert (page.received, page.refused, page.ignored) == (0, 0, 2)


async def test_a_page_of_bytes_that_are_not_utf_8_is_a_page() -> None:
    async def handler(socket: object) -> None:
        _, id, *_ = await received(socket, "REQ")  # type: ignore[arg-type]
        broken = b'["EVENT","' + id.encode() + b'",' + RAW.replace(b"@", b"\xff") + b"]"
        await socket.send(broken, text=True)  # type: ignore[attr-defined]
        await send(socket, "EVENT", id, A)  # type: ignore[arg-type]
        await send(socket, "EOSE", id)  # type: ignore[arg-type]

    page = await ask(handler)
    assert (page.outcome.ending, page.events, page.refused) == (Ending.EOSE, [A], 1)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'["NOTICE","gesch\xfctzt"]', Notice(r"gesch\xfctzt")),
        (rb'["CLOSED","s","blocked: \ud800"]', Closed("s", "blocked", r"\ud800")),
    ],
)
def test_what_a_relay_says_in_another_encoding_is_heard(raw: bytes, expected: object) -> None:
    assert parse_message(raw) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(value=JSON, cut=st.integers(0, 40), noise=st.binary(max_size=3))
def test_whatever_stands_in_place_of_an_event_is_counted_once(value: object, cut: int, noise: bytes) -> None:
    raw = message(_dumped(value))
    spot = len(message(b"", b""))
    raw = raw[: spot + cut] + noise + raw[spot + cut :]
    page = page_of(raw)
    assert (page.received, page.refused, page.events, len(page.rejected)) == (1, 1, [], 1)


@given(text=st.text())
def test_a_value_and_its_size_are_read_from_the_beginning(text: str) -> None:
    raw = _dumped({"é": text})
    assert salvage.read_first(raw + "é}".encode()) == ({"é": text}, len(raw))


def _dumped(value: object) -> bytes:
    import json

    return json.dumps(value, ensure_ascii=True).encode()
