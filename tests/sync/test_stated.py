"""What a relay says of itself is heeded, and proves nothing."""

import pytest

from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.windowing.kinds import RESTRICTED_KINDS
from tests.nostr.helpers import signed
from tests.relays.scripted import ScriptedRelay, scripted
from tests.sync.helpers import ask, config, stored_ids

EVENTS = [signed(number) for number in range(1, 400)]
SECOND = [signed(700, content=str(number)) for number in range(120)]


def limits(relay: ScriptedRelay) -> list[int | None]:
    """Of all REQs but the one that asks for a single event to see whether it is kept from us."""
    return [request.limit for request in relay.requests if request.kinds != RESTRICTED_KINDS]


async def test_the_first_request_heeds_the_limit_that_a_relay_states(database: str) -> None:
    async with scripted(EVENTS, limitation={"max_limit": 70}) as relay:
        await sync_relays(database, config(limit=200), [relay.url])
        await sync_relays(database, config(limit=200), [relay.url])
    assert limits(relay)[0] == 70
    assert set(limits(relay)[1:]) == {200}
    assert relay.documents_sent == 1
    assert len(stored_ids(database)) == len(EVENTS)


async def test_a_limit_that_is_stated_and_not_true_loses_nothing(database: str) -> None:
    for stated in (1, 100_000, -1, "many", None):
        async with scripted(EVENTS, cap=50, limitation={"max_limit": stated}) as relay:
            [report] = (await sync_relays(database, config(), [relay.url])).relays
        assert (report.ok, report.gaps) == (True, [])
        assert len(stored_ids(database, relay.url)) == len(EVENTS)


async def test_a_relay_that_refuses_more_than_its_limit_is_not_asked_for_that_again(database: str) -> None:
    def strict(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        if (relay.requests[-1].limit or 0) > 150:
            return [["CLOSED", subscription, "invalid: limit too large"]]
        return honest

    async with scripted(EVENTS, twist=strict, limitation={"max_limit": 150}) as relay:
        [report] = (await sync_relays(database, config(limit=400), [relay.url])).relays
    assert (report.ok, report.gaps) == (True, [])
    assert len(stored_ids(database)) == len(EVENTS)
    assert limits(relay).count(400) == 1
    assert set(limits(relay)) == {150, 400}
    assert ask(database, "SELECT rung FROM relay_limits") == [(0,)]


async def test_a_relay_that_counts_tells_what_a_gap_lacks(database: str) -> None:
    def hiding(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return [message for message in honest if message[0] == "EOSE" or message[2] not in SECOND[:20]]

    async with scripted([*EVENTS, *SECOND], cap=50, counts=True, twist=hiding) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    [gap] = report.gaps
    assert (gap.reason, gap.missing) == ("saturated", len(SECOND) - gap.held)
    assert gap.missing >= 20
    assert [(request.since, request.until, request.limit) for request in relay.counted] == [(700, 700, None)]
    assert ask(database, "SELECT missing FROM sync_gap") == [(gap.missing,)]
    assert report.to_json_dict()["gaps"][0]["missing"] == gap.missing


@pytest.mark.slow
async def test_a_relay_that_does_not_count_is_asked_once_and_the_estimate_is_unknown(database: str) -> None:
    crowds = [signed(second, content=str(number)) for second in (700, 800) for number in range(120)]
    async with scripted(crowds, cap=50) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert [gap.missing for gap in report.gaps] == [None, None]
    assert len(relay.counted) == 1
