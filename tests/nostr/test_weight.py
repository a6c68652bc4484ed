"""What a message costs in memory: never less than it takes, and too much of it is not even decoded."""

import tracemalloc

import orjson
import pytest

from bigbrotr_dagster.nostr.event import Event, parse_event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.messages import EventMessage, ProtocolError, parse_message
from bigbrotr_dagster.nostr.subscription import Subscription
from bigbrotr_dagster.nostr.weight import MOST_ELEMENTS, is_crowded, weight
from tests.nostr.helpers import signed
from tests.relays import costly

SUB = "0123456789abcdef"


def message(event: bytes) -> bytes:
    return b'["EVENT","%s",%s]' % (SUB.encode(), event)


def received(event: bytes, max_event_size: int | None = None) -> Subscription:
    subscription = Subscription(SUB, Filter(), max_events=9, max_bytes=2**24, max_event_size=max_event_size)
    assert subscription.receive(message(event)) is None
    return subscription


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [each for each in costly.COSTLY if each is not costly.empty_tags_beyond_all_bounds]
)
def test_no_event_takes_more_memory_than_it_weighs(make: "costly.Make") -> None:
    raw = message(make(1, 1_700_000_000, 1))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    parsed = parse_message(raw)
    assert isinstance(parsed, EventMessage)
    event = parse_event(parsed.decoded, raw)
    del parsed
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert isinstance(event, Event)
    assert taken <= weight(raw)


@pytest.mark.slow
def test_an_event_of_690_000_tags_is_too_large_and_keeps_its_claims() -> None:
    page = received(costly.empty_tags_beyond_all_bounds(1, 1_700_000_000, 1)).take_part()
    [item] = page.rejected
    assert (item.reason, item.created_at, page.events) == ("too_large", 1_700_000_000, [])
    assert item.id is not None


@pytest.mark.slow
def test_to_refuse_it_takes_no_more_memory_than_its_bytes() -> None:
    raw = costly.empty_tags_beyond_all_bounds(1, 1_700_000_000, 1)
    tracemalloc.start()
    received(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'["NOTICE",' + b"[]," * MOST_ELEMENTS + b"[]]",
        b"[" * (2 * MOST_ELEMENTS),
        b'{"a":' * MOST_ELEMENTS,
        b'["EOSE","x",[' + b"1," * MOST_ELEMENTS + b"1]]",
        b'["OK",' + b'""' * 5 * MOST_ELEMENTS + b"]",
    ],
)
def test_other_messages_of_so_many_elements_are_none(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_message(raw)


@pytest.mark.parametrize(
    "text",
    [
        "[1,2,3]," * 20_000,
        '"a","b\\",' * 20_000,
        orjson.dumps([{"a": [1, "\\"]}] * 20_000).decode(),
        "\\" * 200_000 + "," * 200_000,
    ],
)
def test_brackets_and_commas_that_are_text_do_not_count(text: str) -> None:
    event = signed(content=text, tags=[["description", text]])
    assert not is_crowded(message(event.to_json()))
    assert received(event.to_json()).take_part().events == [event]


def test_a_follow_list_of_a_whole_mebibyte_is_let_through() -> None:
    raw = costly.follow_list(1, 1_700_000_000, 3)
    assert len(raw) > 900_000
    assert len(received(raw, max_event_size=2**20).take_part().events) == 1


def test_a_part_leaves_stamps_and_is_handed_over_once() -> None:
    one, two = signed(1_000, content="1"), signed(2_000, content="2")
    subscription = received(one.to_json())
    assert subscription.weight == weight(message(one.to_json()))
    assert subscription.take_part().events == [one]
    subscription.receive(message(two.to_json()))
    subscription.receive(message(one.to_json()))
    part = subscription.take_part()
    assert (part.events, subscription.weight) == ([two], 0)
    outcome = subscription.receive(b'["EOSE","%s"]' % SUB.encode())
    assert outcome is not None
    page = subscription.finish(outcome)  # type: ignore[arg-type]
    stamps = [(event.id, event.created_at, event.kind, event.pubkey) for event in page.events]
    assert stamps == [(event.id, event.created_at, event.kind, event.pubkey) for event in (one, two)]
    assert not any(isinstance(event, Event) for event in page.events)
    assert (page.received, page.duplicates, page.weight) == (3, 1, 0)
