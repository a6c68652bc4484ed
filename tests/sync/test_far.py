"""A relay that is far is asked for pages side by side, and nothing is lost by that."""

import pytest

from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.sync.distance import ALLOWED_AT_ONCE, EVENTS_AT_ONCE, Distance
from bigbrotr_dagster.windowing import Habits, Order
from bigbrotr_dagster.windowing.habits import Rung
from tests.relays.hostile import Cap, HostileRelay, calm, held, hostile
from tests.sync.helpers import config, stored_ids
from tests.sync.oracle import Verdict, assert_the_promise, far_modes, verdicts_on

FAR = far_modes()


@pytest.fixture(scope="module")
def verdicts(embedded_server: str) -> dict[str, Verdict]:
    return verdicts_on(embedded_server, FAR)


@pytest.mark.parametrize("name", FAR)
def test_the_promise_holds_at_a_distance(verdicts: dict[str, Verdict], name: str) -> None:
    assert_the_promise(verdicts[name])


async def test_pages_of_a_far_relay_go_out_side_by_side(database: str) -> None:
    relay = HostileRelay([Cap(50)], 1, [held(event) for event in calm(2_000)], round_trip=0.1)
    relay.begin_round()
    async with hostile(relay):
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == {item.id for item in relay.events}
    assert report.seconds < 0.1 * report.requests, "so they did not wait for each other"
    assert relay.events_sent <= 1.1 * len(relay.events)
    assert report.requests <= 2 * len(relay.events) / 50


def far(round_trip: float = 0.3, transfer: float = 0.05) -> Distance:
    distance = Distance()
    for _ in range(3):
        distance.note_page(round_trip, round_trip + transfer, events=500, seconds=1_000, largest=500)
    distance.round_trip = round_trip
    return distance


def test_the_width_follows_the_distance_within_what_the_relay_allows() -> None:
    honest = Habits(largest=500)
    assert far(0.3).width(honest, 20) == 16
    assert far(0.05, 0.05).width(honest, 20) == 4
    assert far(0.3).width(honest, None) == ALLOWED_AT_ONCE
    assert far(0.3).width(honest, 2) == 2
    assert far(0.3).width(Habits(largest=4_000), 20) == EVENTS_AT_ONCE // 4_000
    assert far(0.3).width(Habits(largest=50_000), 20) == 1
    assert Distance().width(honest, 20) == 1


@pytest.mark.parametrize(
    "habits",
    [
        Habits(largest=500, order=Order.UNTRUSTED),
        Habits(largest=500, cut_at=100),
        Habits(largest=500, hides=True),
        Habits(largest=500, rung=Rung.SMALL_LIMIT),
        Habits(largest=500, pause=0.1),
        Habits(largest=500, limit=100),
    ],
)
def test_a_relay_that_is_not_plain_is_asked_one_thing_at_a_time(habits: Habits) -> None:
    assert far(0.3).width(habits, 20) == 1


def test_windows_follow_the_density_of_full_pages() -> None:
    distance = far()
    first = distance.chunk_seconds
    for _ in range(8):
        distance.note_answer(500, 4_000, largest=500)
    wide = distance.chunk_seconds
    distance.note_answer(0, 10**9, largest=500)
    assert distance.chunk_seconds is None, "where nothing came, nothing is laid out"
    distance.note_answer(1, 5, largest=500)
    assert first == 4 * 1_000 + 1
    assert wide == distance.chunk_seconds
    assert 8 * 3_900 < wide <= 8 * 4_000
