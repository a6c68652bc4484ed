"""Refusals for good and messages that are too long: the REQ gets another shape, and the relay no pause."""

from collections.abc import Callable

import pytest

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.relays.hostile import crowded
from tests.relays.scripted import Messages, scripted
from tests.sync.helpers import ask, config, stored_ids

EVENTS = [signed(number) for number in range(2_000_000, 2_000_120)]  # with weeks of nothing below


def strfry(subscription: str, kinds: int) -> list[object]:
    return ["CLOSED", subscription, f"ERROR: bad req: filter validation failed: too many kinds in filter: {kinds}"]


def npm(subscription: str, kinds: int) -> list[object]:
    return ["NOTICE", "invalid: must be less than or equal to 5 kinds"]


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [strfry, npm])
async def test_a_relay_that_takes_few_kinds_a_filter_is_archived_whole_and_at_once(
    database: str, refusal: Callable[[str, int], list[object]]
) -> None:
    def validating(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        kinds = len(relay.requests[-1].kinds or ())
        return [refusal(subscription, kinds)] if kinds > 5 else honest

    async with scripted(EVENTS, cap=50, twist=validating) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == {event.id for event in EVENTS}
    assert ask(database, "SELECT rung, pause FROM relay_limits") == [(0, 0.0)]
    assert any(request.kinds and len(request.kinds) <= 5 for request in relay.requests)


@pytest.mark.slow
@pytest.mark.parametrize("limitation", [{"max_message_length": 1_000}, None])
async def test_a_req_that_is_too_long_gets_shorter(database: str, limitation: dict[str, object] | None) -> None:
    """The relay drops the connection for it, without a word; in one of the cases it had said what it takes."""
    events = crowded(400, 200)
    lengths: list[int] = []

    def dropping(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        lengths.append(len(messages.req(subscription, relay.requests[-1])))
        return honest if lengths[-1] <= 1_000 else [None]

    async with scripted(events, cap=100, twist=dropping, limitation=limitation) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.ok
    assert report.pending_seconds == 0
    assert len(stored_ids(database)) >= 0.95 * len(events)
    too_long = [length for length in lengths if length > 1_000]
    assert len(too_long) == 0 if limitation else len(too_long) <= 3
    assert any(request.authors and len(request.authors) > 1 for request in relay.requests)
