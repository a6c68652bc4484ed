"""Asking relays that work: nostr-sdk's LocalRelay, and our own practice relays."""

import asyncio
import http.client
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as websocket

from bigbrotr_dagster.demo import PORTS, PortInUse, practice_relays
from bigbrotr_dagster.demo import practice as demo
from bigbrotr_dagster.demo.events import RELAYS, on_relay, practice_events
from bigbrotr_dagster.demo.relay import PracticeRelay
from bigbrotr_dagster.nostr.connection import Connection, connect
from bigbrotr_dagster.nostr.event import event_from_json, verify_signature
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.windowing.outcome import Ending
from tests.nostr.helpers import signed
from tests.ports import free_port
from tests.relays.local_relay import LocalRelayProcess

NOW = 1_795_000_000


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """Ports of this test's own for the practice relays: all processes of this machine share the usual ones."""
    ports = tuple(free_port() for _ in PORTS)
    monkeypatch.setattr(demo, "PORTS", ports)
    monkeypatch.setattr(demo, "URLS", [f"ws://{demo.HOST}:{port}" for port in ports])
    return ports


async def walk(connection: Connection, until: int) -> set[str]:
    """Reply down to the oldest event, newest first; good enough for relays without busy seconds."""
    ids: set[str] = set()
    while True:
        page = await connection.request(
            Filter(since=0, until=until, limit=500), max_events=500, max_bytes=10_000_000
        )
        assert page.outcome.ending is Ending.EOSE
        assert not page.rejected_counts
        if ids.issuperset(event.id for event in page.events):
            return ids
        ids.update(event.id for event in page.events)
        until = page.events[-1].created_at


async def test_local_relay_gives_every_event(tmp_path: Path) -> None:
    events = [signed(1_000 + number, content=str(number)) for number in range(1_200)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(event.to_json() for event in events))
    with LocalRelayProcess(path) as relay:
        async with connect(parse_relay_url(relay.url), timeout=60, allow_private=True) as connection:
            assert await walk(connection, 10_000) == {event.id for event in events}


@pytest.mark.usefixtures("ports")
async def test_practice_relays_give_every_event_that_is_due() -> None:
    async with practice_relays() as urls:
        started = time.time()
        found = []
        for url in urls:
            async with connect(parse_relay_url(url), timeout=60, allow_private=True) as connection:
                found.append(await walk(connection, int(started)))
    due = [event for event in practice_events(int(started)) if event.created_at <= int(started)]
    assert found == [{event.id for event in due if on_relay(event, index)} for index in range(RELAYS)]


@pytest.mark.slow
async def test_practice_relays_are_shared(ports: tuple[int, ...]) -> None:
    async with practice_relays(), practice_relays() as urls:
        assert urls == tuple(f"ws://127.0.0.1:{port}" for port in ports)


async def test_a_port_in_use_by_another_program_is_one_line(ports: tuple[int, ...]) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", ports[1])
    async with server:
        with pytest.raises(PortInUse, match=f"port {ports[1]} on 127.0.0.1 is in use by another program"):
            async with practice_relays():
                pass


async def test_practice_relays_describe_themselves(ports: tuple[int, ...]) -> None:
    def document() -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=30)
        try:
            connection.request("GET", "/", headers={"Accept": "application/nostr+json"})
            found: dict[str, object] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    async with practice_relays():
        assert (await asyncio.to_thread(document))["supported_nips"] == [1, 11]


@pytest.mark.usefixtures("ports")
async def test_practice_relays_refuse_what_they_do_not_support() -> None:
    async with practice_relays() as urls, websocket(urls[0]) as socket:
        await socket.send('["REQ","mine",{"search":"x"}]')
        assert await socket.recv() == """["CLOSED","mine","unsupported: unknown filter key 'search'"]"""


@pytest.mark.slow
def test_practice_events_are_the_same_every_time() -> None:
    assert practice_events(NOW) == practice_events(NOW + 60)


@pytest.mark.slow
def test_practice_events_of_the_past_do_not_change_from_day_to_day() -> None:
    yesterday = {event.id for event in practice_events(NOW - 86_400) if event.created_at < NOW - 2 * 86_400}
    today = {event.id for event in practice_events(NOW)}
    assert len(yesterday - today) <= 90  # the oldest day has left


def test_practice_events_verify() -> None:
    for event in practice_events(NOW)[::10]:
        assert event_from_json(event.to_json()) == event
        assert verify_signature(event)


def test_every_practice_event_is_on_two_relays_of_three_or_so() -> None:
    events = practice_events(NOW)
    shares = [sum(on_relay(event, relay) for event in events) / len(events) for relay in range(RELAYS)]
    assert all(0.6 <= share <= 0.7 for share in shares)
    assert all(any(on_relay(event, relay) for relay in range(RELAYS)) for event in events)


@pytest.mark.slow
def test_something_falls_due_for_every_relay_in_every_five_minutes_or_so() -> None:
    times = [event.created_at for event in practice_events(NOW) if on_relay(event, 0)]
    due = [each for each in times if NOW <= each <= NOW + 86_400]
    assert max(later - earlier for earlier, later in pairwise(due)) <= 1_800
    assert len(due) >= 288


def test_a_practice_relay_answers_newest_first_and_breaks_ties_by_id() -> None:
    events = [signed(1_000 + number // 3, content=str(number)) for number in range(30)]
    answer = [event_from_json(raw) for raw in PracticeRelay("r", events).stored(Filter(limit=20), NOW)]
    assert answer == sorted(events, key=lambda event: (-event.created_at, event.id))[:20]


def test_a_practice_relay_keeps_the_future_to_itself() -> None:
    relay = PracticeRelay("r", [signed(1_000), signed(2_000)])
    assert [event_from_json(raw).created_at for raw in relay.stored(Filter(), 1_999)] == [1_000]
