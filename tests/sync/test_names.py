"""Names are strangers' too: a nameserver that does not answer costs nobody but the relays that it names."""

from contextlib import AsyncExitStack

import pytest

from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.relays.nameserver import nameserver, silent
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids

SLOW, HONEST = 75, 25


@pytest.mark.slow
async def test_relays_at_addresses_are_synced_beside_names_that_nobody_answers_for(database: str) -> None:
    events = [signed(1_000 + number) for number in range(HONEST)]
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(nameserver({}, silent))
        slow = [f"wss://relay{number}.example.org" for number in range(SLOW)]
        honest = [await stack.enter_async_context(scripted([event])) for event in events]
        urls = [*slow, *(relay.url for relay in honest)]
        options = config(networks={"clearnet": {"timeout": 3, "max_tasks": len(urls)}})
        report = await sync_relays(database, options, urls)
    failed = {one.url: one.error for one in report.failed}
    assert failed == {url: f"no nameserver answers for {url[6:]} within 3 s" for url in slow}
    assert stored_ids(database) == {event.id for event in events}
    waiting = ask(database, "SELECT relay_url FROM relay_limits WHERE retry_at IS NOT NULL")
    assert {url for (url,) in waiting} == set(slow)
    assert set(names.asked) == {url[6:] for url in slow}


async def test_a_name_leads_to_its_relay_and_both_its_connections_ask_once(database: str) -> None:
    event = signed(1_000)
    async with nameserver({"relay.damus.io": ["127.0.0.1"]}) as names, scripted([event]) as relay:
        relay.limitation = {"max_limit": 400}
        url = relay.url.replace("127.0.0.1", "relay.damus.io")
        [report] = (await sync_relays(database, config(), [url])).relays
    assert report.ok
    assert stored_ids(database, url) == {event.id}
    assert relay.documents_sent == 1
    assert names.asked == ["relay.damus.io"] * 2  # A and AAAA
