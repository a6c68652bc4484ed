"""A relay that is far is asked for pages side by side, and nothing is lost by that."""

from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.sync.distance import EVENTS_AT_ONCE, FIRST_AT_ONCE, MOST_AT_ONCE, PAGES_LAID_OUT, Distance
from bigbrotr_dagster.windowing.cuts import TELLING, Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.rungs import Rung
from bigbrotr_dagster.windowing.tasks import Ask
from bigbrotr_dagster.windowing.walk import Walk
from tests.e2e.events import write_events
from tests.machine import timed
from tests.relays.distant import distant
from tests.relays.hostile import Cap, HostileRelay, calm, held, hostile
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import config, stored_ids
from tests.sync.oracle import Verdict, assert_the_promise, far_modes, verdicts_on
from tests.windowing.model import Stamp

pytestmark = pytest.mark.slow

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
        with timed() as timing:
            [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == {item.id for item in relay.events}
    assert timing.seconds < 0.1 * report.requests, "so they did not wait for each other"
    assert relay.events_sent <= 1.1 * len(relay.events)
    assert report.requests <= 2 * len(relay.events) / 50


async def test_a_relay_that_allows_fewer_subscriptions_is_asked_for_fewer(database: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    events = write_events(file, 3_000)
    with LocalRelayProcess(file, cap=100, subscriptions=5) as relay:
        async with distant(relay.port, 0.1) as port:
            with timed() as timing:
                [report] = (await sync_relays(database, config(), [f"ws://127.0.0.1:{port}"])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == set(events)
    assert timing.seconds < 0.1 * report.requests, "still more than one at a time"


def plain(**habits: Any) -> Habits:
    """A relay that has shown that it sends its newest events first, 500 at once."""
    return Habits(**({"largest": 500, "cut_at": 500, "checked": TELLING} | habits))


def page(since: int, until: int) -> list[Stamp]:
    """500 events, evenly spaced, from the one second to the other."""
    return [Stamp(f"{number}", since + number * (until - since) // 499) for number in range(500)]


def far(round_trip: float = 0.3, transfer: float = 0.05, habits: Habits | None = None) -> Distance:
    """A distance at which one full page of a thousand seconds was received."""
    distance = Distance()
    ask = Ask(0, 99_999, 500)
    distance.note_page(round_trip, round_trip + transfer, ask, page(99_000, 99_999), habits or plain())
    distance.round_trip = round_trip
    return distance


def grown(distance: Distance, answers: int) -> Distance:
    for _ in range(answers):
        distance.note_answer(Ask(0, 99_999, 500), page(99_000, 99_999), plain())
    return distance


def test_the_width_follows_the_distance_and_grows_with_full_answers() -> None:
    assert far().width(plain()) == FIRST_AT_ONCE
    assert grown(far(), 3).width(plain()) == FIRST_AT_ONCE + 3
    assert grown(far(), 99).width(plain()) == MOST_AT_ONCE
    assert grown(far(0.05, 0.05), 99).width(plain()) == 4
    assert grown(far(), 99).width(plain(largest=4_000, cut_at=4_000)) == EVENTS_AT_ONCE // 4_000
    assert grown(far(), 99).width(plain(largest=50_000, cut_at=50_000)) == 1
    assert Distance().width(plain()) == 1


def test_no_relay_is_asked_for_more_at_once_than_it_allows_or_took() -> None:
    stated, refused = grown(far(), 99), grown(far(), 99)
    stated.heed(2)
    assert stated.width(plain()) == 2
    stated.heed(None)
    assert stated.width(plain()) == 2
    refused.note_refusal(11)
    assert grown(refused, 99).width(plain()) == 10
    refused.note_refusal(2)
    assert refused.width(plain()) == 1


@pytest.mark.parametrize(
    "habits",
    [
        {"order": Order.UNTRUSTED},
        {"cut_at": 100},
        {"hides": True},
        {"rung": Rung.SMALL_LIMIT},
        {"pause": 0.1},
        {"limit": 100},
        {"checked": 0},
    ],
)
def test_a_relay_that_is_not_plain_is_asked_one_thing_at_a_time(habits: dict[str, Any]) -> None:
    assert far().width(plain(**habits)) == 1


def walk_of(seconds: int) -> Walk:
    return Walk(
        Coverage.between(1_000_000, 1_000_000 + seconds - 1),
        500,
        plain(since_exclusive=False, until_exclusive=False),
    )


def test_windows_follow_the_density_of_full_pages_and_the_rest_stays_whole() -> None:
    asks = far().asks(walk_of(900_000), 4)
    shortest, longest = (pages * 1_000 + 1 for pages in PAGES_LAID_OUT)
    assert [ask.until - ask.since + 1 for ask in asks] == [longest] * 3 + [900_000 - 3 * longest]
    asks = far().asks(walk_of(20_000), 4)
    assert [ask.until - ask.since + 1 for ask in asks] == [5_000] * 4
    asks = far().asks(walk_of(5_000), 4)
    assert [ask.until - ask.since + 1 for ask in asks] == [shortest, shortest, 5_000 - 2 * shortest]
    distance = grown(far(), 1)
    distance.note_answer(Ask(0, 99_999, 500), page(0, 8_999), plain())
    assert distance.asks(walk_of(900_000), 2)[0].since == 1_900_000 - int(PAGES_LAID_OUT[1] * 5_000) - 1


def test_where_nothing_came_or_a_page_was_not_full_nothing_is_laid_out() -> None:
    distance = far()
    distance.note_answer(Ask(0, 99_999, 500), [], plain())
    assert len(distance.asks(walk_of(900_000), 4)) == 1
    distance.note_answer(Ask(0, 99_999, 500), page(0, 999)[:499], plain())
    assert len(distance.asks(walk_of(900_000), 4)) == 4, "something came"
    assert distance.width(plain()) == FIRST_AT_ONCE, "but no full page"
    unproved = far(habits=plain(cut_at=None, largest=499))
    assert unproved.width(plain()) == FIRST_AT_ONCE, "our limit was the end of it"
