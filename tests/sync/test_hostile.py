"""The one promise, against relays that misbehave: each mode alone, and 200 pairs of modes.

`python -m tests.sync.hostile_report [--pairs 200]` tells the same at a glance.
"""

from collections.abc import Callable
from functools import cache
from math import ceil

import pytest

from tests.relays.hostile import Cap, HostileRelay, calm, held
from tests.side_by_side import share
from tests.sync.oracle import (
    Verdict,
    all_synced,
    assert_the_promise,
    pair,
    pairs,
    single_modes,
    verdicts_on,
)

FILE = "tests/sync/test_hostile.py"

SINGLE = single_modes()
PAIRS = pairs(200, seed=3)
ONCE_BROKEN = {
    f"{one}+{other} again": pair(one, other, 2000 + index)
    for index, (one, other) in enumerate(
        [
            ("cap-1", "garbage"),
            ("cap-1", "outside-filter"),
            ("cap-1", "restricted-kinds"),
            ("cap-drawn", "oldest-first"),
            ("ignores-since", "arriving"),
            ("oldest-first", "arriving"),
            ("random-subset", "arriving"),
            ("restricted-kinds", "giant-event"),
        ]
    )
}
"""Pairs that other draws had brought to light."""


@pytest.fixture(scope="module")
def verdict(embedded_server: str, request: pytest.FixtureRequest) -> Callable[[str], Verdict]:
    """Judges a relay, together with all relays of its share that the selected tests ask about: some at once."""
    selected = [getattr(item, "callspec", None) for item in request.session.items]
    names = {spec.params["name"] for spec in selected if spec is not None and "name" in spec.params}
    relays = {name: relay for name, relay in (SINGLE | PAIRS | ONCE_BROKEN).items() if name in names}

    @cache
    def of_share(number: int) -> dict[str, Verdict]:
        return verdicts_on(embedded_server, {name: relays[name] for name in relays if share(FILE, name) == number})

    return lambda name: of_share(share(FILE, name))[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLE)
def test_the_promise_holds_against_one_mode(verdict: Callable[[str], Verdict], name: str) -> None:
    assert_the_promise(verdict(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PAIRS, *ONCE_BROKEN])
def test_the_promise_holds_against_two_modes_at_once(verdict: Callable[[str], Verdict], name: str) -> None:
    assert_the_promise(verdict(name))


@pytest.mark.slow
@pytest.mark.parametrize("cap", [500, 100])
async def test_an_honest_relay_costs_its_pages_and_each_event_once(database: str, cap: int) -> None:
    events = [held(event) for event in calm(3000)]
    relay = HostileRelay([Cap(cap)], 1, events)
    [verdict] = (await all_synced(database, {f"honest {cap}": relay})).values()
    assert_the_promise(verdict)
    assert sum(relay.asked) <= 1.1 * ceil(len(events) / cap) + 8  # one of them asks what is kept from us
    assert relay.events_sent <= 1.05 * len(events)


async def test_at_a_small_cap_only_the_boundary_events_come_twice(database: str) -> None:
    events = [held(event) for event in calm(1000)]
    relay = HostileRelay([Cap(20)], 1, events)
    [verdict] = (await all_synced(database, {"honest 20": relay})).values()
    assert_the_promise(verdict)
    assert sum(relay.asked) <= 1.1 * ceil(len(events) / 19) + 7  # each page repeats one event
    assert relay.events_sent <= 1.05 * len(events) * 20 / 19
