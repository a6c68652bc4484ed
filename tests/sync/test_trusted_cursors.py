"""What becomes of BigBrotr's cursors when its database is taken over: trusted and read again, or simply read."""

import json
import time

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.storage.databases import adopt
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids, tell

READ_UNTIL = 1_700_000_000


def read_until(database: str, url: str, timestamp: object) -> None:
    """As BigBrotr's Synchronizer leaves it."""
    value = json.dumps({"timestamp": timestamp, "id": "ab" * 32})
    tell(database, f"INSERT INTO relay VALUES ('{url}', 'local', 1) ON CONFLICT DO NOTHING")
    tell(database, f"INSERT INTO service_state VALUES ('synchronizer', 'cursor', '{url}', '{value}')")


CURSORS = "SELECT state_key, (state_value ->> 'timestamp')::bigint FROM service_state WHERE state_type = 'cursor'"


async def test_trusted_seconds_count_as_covered_and_what_was_lost_there_is_found(bigbrotr: str) -> None:
    lost, half, new = (signed(READ_UNTIL + second) for second in (-86_400 * 500, 0, 5_000))
    async with scripted([lost, half, new]) as relay:
        read_until(bigbrotr, relay.url, READ_UNTIL)
        list(adopt(bigbrotr, trust_cursors=True))
        covered = ask(bigbrotr, "SELECT relay_url, filter, covered::text, read_at_ages FROM sync_coverage")
        assert covered == [(relay.url, {}, f"{{[0,{READ_UNTIL})}}", [])]
        assert ask(bigbrotr, CURSORS) == [(relay.url, READ_UNTIL - 1)], "the second itself may hold more"
        assert cursors_beyond_coverage(bigbrotr, config()) == []
        [report] = (await sync_relays(bigbrotr, config(), [relay.url])).relays
        assert (report.ok, report.gaps, report.pending_seconds, report.late_events) == (True, [], 0, 1)
        assert {lost.id, half.id, new.id} <= stored_ids(bigbrotr, relay.url)
        assert cursors_beyond_coverage(bigbrotr, config()) == []
        requests = len(relay.requests)
        await sync_relays(bigbrotr, config(), [relay.url])
    assert len(relay.requests) <= requests + 2, "all was read again, once"


async def test_without_a_word_all_is_read(bigbrotr: str) -> None:
    lost = signed(READ_UNTIL - 86_400 * 500)
    async with scripted([lost]) as relay:
        read_until(bigbrotr, relay.url, READ_UNTIL)
        list(adopt(bigbrotr))
        assert ask(bigbrotr, "SELECT count(*) FROM sync_coverage") == [(0,)]
        assert ask(bigbrotr, CURSORS) == [(relay.url, READ_UNTIL)]
        [report] = (await sync_relays(bigbrotr, config(), [relay.url])).relays
    assert (report.ok, report.pending_seconds, report.late_events) == (True, 0, 0)
    assert lost.id in stored_ids(bigbrotr, relay.url)


def test_cursors_that_say_nothing_are_not_trusted(bigbrotr: str) -> None:
    for number, timestamp in enumerate((0, int(time.time()) + 86_400, "soon", None)):
        read_until(bigbrotr, f"wss://{number}", timestamp)
    tell(
        bigbrotr, "INSERT INTO service_state VALUES ('synchronizer', 'cursor', 'wss://gone', '{\"timestamp\": 5}')"
    )
    list(adopt(bigbrotr))
    read_until(bigbrotr, "wss://a", 7)
    read_until(bigbrotr, "wss://b", 7)
    tell(bigbrotr, "INSERT INTO sync_coverage VALUES ('wss://b', 'another', '{\"kinds\": [1]}', '{[0,8)}')")
    list(adopt(bigbrotr, trust_cursors=True))
    trusted = ask(bigbrotr, "SELECT relay_url FROM sync_coverage WHERE filter = '{}'")
    assert trusted == [("wss://a",)], "those of which we know nothing, and later, too"
