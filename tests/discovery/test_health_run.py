"""Many relays' checks: what is stored, with its checkpoint; who is due; what a kill and a dead line do."""

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.archive.registry import delete_stale_cursors, register_relays, remove_relays
from bigbrotr_dagster.config import ConfigError, SynchronizerConfig
from bigbrotr_dagster.discovery.health import (
    HealthReport,
    check_relays,
    known_health,
    network_health,
    relays_due,
)
from tests.discovery.documented import DocumentedRelay, documented
from tests.nostr.helpers import tcp_server
from tests.ports import free_port
from tests.relays.nameserver import nameserver
from tests.sync.helpers import ask, config, tell

ROOT = Path(__file__).parents[2]


def options(**monitor: Any) -> SynchronizerConfig:
    network = {"timeout": 2, "max_tasks": 20, "max_per_host": 20}
    return config(networks={"clearnet": network}, monitor=monitor)


async def checked(database: str, *urls: str, **monitor: Any) -> HealthReport:
    """A run for relays that are registered first."""
    register_relays(database, urls)
    return await check_relays(database, options(**monitor), urls)


def dead_url() -> str:
    return f"ws://127.0.0.1:{free_port()}"


async def several(stack: AsyncExitStack, count: int, **given: Any) -> list[DocumentedRelay]:
    return [await stack.enter_async_context(documented(**given)) for _ in range(count)]


async def test_a_check_is_stored_as_bigbrotr_has_it(any_database: str) -> None:
    async with documented() as one:
        report = await checked(any_database, one.url)
    [health] = report.relays
    assert (health.url, health.network, health.alive, health.dead_since) == (one.url, "local", True, None)
    assert health.found("nip11_info", "name") == "practice"
    rows = ask(any_database, "SELECT relay_url, metadata_type, generated_at FROM relay_metadata ORDER BY 2")
    assert rows == [(one.url, kind, health.checked_at) for kind in ("nip11_info", "nip66_http", "nip66_rtt")]
    [(url, data, is_hash)] = ask(
        any_database,
        "SELECT relay_url, data, metadata_id = sha256(convert_to("
        """'{"data":{"name":"practice"},"logs":{"success":true}}', 'UTF8'))"""
        " FROM relay_metadata_latest WHERE metadata_type = 'nip11_info'",
    )
    assert (url, data, is_hash) == (one.url, {"data": {"name": "practice"}, "logs": {"success": True}}, True)
    [(state,)] = ask(
        any_database,
        f"SELECT state_value FROM service_state WHERE service_name = 'monitor' AND state_key = '{one.url}'"
        " AND state_type = 'checkpoint'",
    )
    assert state == {"timestamp": health.checked_at}


async def test_a_document_that_says_the_same_is_stored_once(database: str) -> None:
    async with AsyncExitStack() as stack:
        urls = [one.url for one in await several(stack, 3)]
        await checked(database, *urls)
        tell(database, "UPDATE relay_metadata SET generated_at = generated_at - 60")
        await checked(database, *urls)
    count = "SELECT count(*) FROM {} WHERE {} = 'nip11_info'"
    assert ask(database, count.format("metadata", "type")) == [(1,)]
    assert ask(database, count.format("relay_metadata", "metadata_type")) == [(6,)]
    latest = (
        "SELECT DISTINCT ON (relay_url, metadata_type) relay_url, metadata_type, generated_at FROM relay_metadata"
        " ORDER BY 1, 2, 3 DESC"
    )
    view = "SELECT relay_url, metadata_type, generated_at FROM relay_metadata_latest ORDER BY 1, 2"
    assert ask(database, view) == ask(database, latest)


async def test_a_relay_is_dead_since_its_first_failure_until_it_answers(database: str) -> None:
    port = free_port()
    async with documented(port=port) as one:
        [first] = (await checked(database, one.url)).relays
    assert first.alive
    [second] = (await checked(database, one.url)).relays
    assert (second.alive, second.reason) == (False, "connection refused")
    assert second.dead_since is not None
    tell(database, "UPDATE relay_health SET dead_since = dead_since - 864000, alive_at = 5")
    [third] = (await checked(database, one.url)).relays
    assert third.dead_since == second.dead_since - 864_000
    [known] = known_health(database, [one.url])
    assert (known.alive, known.alive_at, known.dead_since) == (False, 5, third.dead_since)
    [network] = network_health(database, options())
    assert (network.checked, network.alive, network.dead_long) == (1, 0, 1)
    async with documented(port=port):
        [last] = (await checked(database, one.url)).relays
    assert (last.alive, last.dead_since) == (True, None)
    [known] = known_health(database)
    assert (known.alive, known.alive_at, known.reason) == (True, last.checked_at, None)


async def test_due_is_who_was_checked_longest_ago_by_us_or_by_bigbrotrs_monitor(database: str) -> None:
    urls = [f"wss://{name}.example.com" for name in "abcd"]
    register_relays(database, urls)
    now = int(time.time())
    for url, age in zip(urls, (20_000, 100, 30_000), strict=False):
        value = f'{{"timestamp": {now - age}}}'
        tell(database, f"INSERT INTO service_state VALUES ('monitor', 'checkpoint', '{url}', '{value}')")
    a, b, c, d = urls
    assert relays_due(database, options()) == {"clearnet": [d, c, a]}
    assert relays_due(database, options(), interval=50) == {"clearnet": [d, c, a, b]}
    assert relays_due(database, options(interval=25_000)) == {"clearnet": [d, c]}


async def test_those_that_cannot_be_tried_and_those_that_left_are_told(database: str) -> None:
    async with documented() as one:
        register_relays(database, [one.url])
        report = await check_relays(database, options(), [one.url, "nonsense", f"ws://{'a' * 56}.onion"])
        assert set(report.refused) == {"nonsense", f"ws://{'a' * 56}.onion"}
        remove_relays(database, [one.url])
        assert (await check_relays(database, options(), [one.url])).relays == []
    assert ask(database, "SELECT count(*) FROM relay_metadata") == [(0,)], "they go with their relay"


async def test_a_relay_that_says_what_jsonb_cannot_hold_stops_nobody(database: str) -> None:
    async with (
        documented(body=b'{"name": "\\u0000\\ud800", "tags": ["\\u0000"]}') as hostile,
        documented(answers=[["CLOSED", "SUB", "\0\x1b no"]]) as strange,
        documented() as one,
    ):
        report = await checked(database, hostile.url, strange.url, one.url)
    assert report.alive == 3
    said = "SELECT data -> 'data' ->> 'name' FROM relay_metadata_latest WHERE metadata_type = 'nip11_info'"
    assert ("\ufffd",) in ask(database, said)


async def test_a_dead_line_of_ours_makes_no_relay_dead(database: str) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(tcp_server(silence)) for _ in range(4)]
        urls = [f"ws://127.0.0.1:{port}" for port in ports]
        report = await checked(database, *urls)
        assert (report.relays, set(report.disbelieved)) == ([], set(urls))
        assert ask(database, "SELECT count(*) FROM relay_health") == [(0,)]
        assert set(relays_due(database, options())["clearnet"]) == set(urls), "they stay due"
        one = await stack.enter_async_context(documented(delay=1))
        report = await checked(database, *urls, one.url)
        assert (len(report.relays), report.alive, report.disbelieved) == (5, 1, {})
        report = await checked(database, *urls)
        assert (len(report.relays), report.disbelieved) == (4, {}), "known to be dead"


async def test_names_that_all_mean_an_address_of_ours_make_no_relay_dead(database: str) -> None:
    """As whoever keeps the door of a hotel's network has them."""
    urls = [f"wss://{name}.damus.io" for name in "abc"]
    register_relays(database, urls)
    async with nameserver({f"{name}.damus.io": ["192.168.0.1"] for name in "abc"}):
        report = await check_relays(database, options().model_copy(update={"allow_private": False}), urls)
    assert (report.relays, set(report.disbelieved)) == ([], set(urls))


async def test_checkpoints_of_relays_that_left_the_registry_are_cleaned_up(database: str) -> None:
    async with documented() as one, documented() as other:
        await checked(database, one.url, other.url)
    tell(database, "INSERT INTO service_state VALUES ('monitor', 'checkpoint', 'announcement', '{}')")
    remove_relays(database, [one.url])
    delete_stale_cursors(database)
    keys = ask(database, "SELECT state_key FROM service_state WHERE service_name = 'monitor' ORDER BY 1")
    assert keys == [("announcement",), (other.url,)]


async def test_a_relay_that_is_registered_in_two_ways_is_checked_once_and_both_rows_say_so(database: str) -> None:
    async with documented() as one:
        urls = [one.url, f"{one.url}/"]
        for url in (*urls, "no relay"):  # as other programs may
            tell(database, f"INSERT INTO relay VALUES ('{url}', 'local', 1)")
        [due] = relays_due(database, options()).values()
        report = await check_relays(database, options(), due)
    assert (due, one.connections) == (urls, 1)
    assert sorted(health.url for health in report.relays) == urls
    assert relays_due(database, options()) == {}


async def test_a_relay_that_is_checked_alone_is_believed(database: str) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(silence) as port:
        [health] = (await checked(database, f"ws://127.0.0.1:{port}")).relays
    assert (health.alive, health.reason) == (False, "no connection within 2 s")


async def test_a_proxy_that_is_away_makes_no_relay_dead(database: str) -> None:
    onion = f"ws://{'a' * 56}.onion"
    register_relays(database, [onion])
    tor = {"enabled": True, "timeout": 2, "proxy_url": f"socks5://127.0.0.1:{free_port()}"}
    report = await check_relays(database, config(networks={"tor": tor}), [onion])
    assert (report.relays, set(report.disbelieved)) == ([], {onion})


async def test_what_was_found_before_a_cancellation_is_stored(database: str) -> None:
    async with documented() as one, documented(delay=3) as slow:
        register_relays(database, [one.url, slow.url])
        running = asyncio.create_task(check_relays(database, options(), [one.url, slow.url]))
        async with asyncio.timeout(20):
            while not one.asked:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert ask(database, "SELECT relay_url FROM relay_health") == [(one.url,)]


async def test_one_relay_is_checked_by_one_process_at_a_time(database: str) -> None:
    async with documented(delay=1) as one:
        register_relays(database, [one.url])
        both = await asyncio.gather(*(check_relays(database, options(), [one.url]) for _ in range(2)))
    assert sorted((len(report.relays), report.busy) for report in both) == [(0, [one.url]), (1, [])]
    assert one.connections == 1


async def test_a_file_that_is_not_there_is_named(database: str) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.geo: /nowhere/city\.mmdb cannot be read"):
        await check_relays(database, options(geo={"city_database_path": "/nowhere/city.mmdb"}), [])


KILLED = """
import asyncio, sys
from bigbrotr_dagster.discovery.health import check_relays
from tests.discovery.test_health_run import options

def say(health):
    print(health.url, flush=True)

asyncio.run(check_relays(sys.argv[1], options(), sys.argv[2:], on_report=say))
"""


@pytest.mark.slow
async def test_a_kill_loses_nothing_that_was_reported_and_repeats_at_most_a_batch(database: str) -> None:
    async with AsyncExitStack() as stack:
        relays = await several(stack, 150)
        urls = [one.url for one in relays]
        slow = [one.url for one in await several(stack, 30, delay=1.5)]
        register_relays(database, [*urls, *slow])
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-c", KILLED, database, *urls, *slow],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = (await asyncio.to_thread(process.stdout.readline)).strip()
        process.send_signal(signal.SIGKILL)
        rest = await asyncio.to_thread(process.communicate)
        reported = {first, *rest[0].split()}
        stored = {url for (url,) in ask(database, "SELECT relay_url FROM relay_health")}
        assert reported <= stored < {*urls, *slow}
        asked = sum(len(one.asked) for one in relays)
        due = relays_due(database, options())["clearnet"]
        assert set(due) == {*urls, *slow} - stored
        report = await check_relays(database, options(), due)
        assert len(report.relays) == len(due)
        repeated = sum(len(one.asked) for one in relays) - asked - len(set(due) & set(urls))
        assert repeated == 0
        assert asked - len(stored & set(urls)) <= 100 + 20, "a batch, and what was under way"
    rows = "SELECT count(*), count(DISTINCT (relay_url, metadata_type)) FROM relay_metadata"
    assert ask(database, rows) == [(540, 540)]


@pytest.mark.slow
async def test_a_kill_at_any_of_ten_moments_leaves_each_check_whole_or_undone(database: str) -> None:
    """A check is its documents, its checkpoint and its state, all of one moment; what was killed is due still."""
    torn = """
        SELECT count(*) FROM relay_health AS health
        LEFT JOIN service_state ON service_name = 'monitor' AND state_key = health.relay_url
        WHERE (state_value ->> 'timestamp')::bigint IS DISTINCT FROM health.checked_at
           OR checked_at > 1 AND NOT EXISTS (SELECT 1 FROM relay_metadata AS document
                                             WHERE document.relay_url = health.relay_url
                                               AND generated_at = checked_at)
           OR EXISTS (SELECT 1 FROM relay_metadata AS document
                      WHERE document.relay_url = health.relay_url AND generated_at > checked_at)"""
    async with AsyncExitStack() as stack:
        urls = [one.url for one in await several(stack, 60, delay=0.1)]
        register_relays(database, urls)
        for moment in range(10):
            tell(
                database,
                "UPDATE service_state SET state_value = '{\"timestamp\": 1}' WHERE service_name = 'monitor'",
            )
            tell(database, "UPDATE relay_health SET checked_at = 1")
            tell(database, "UPDATE relay_metadata SET generated_at = 1 WHERE generated_at <> 1")
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-c", KILLED, database, *urls],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            await asyncio.sleep(0.8 + 0.35 * moment)
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            assert ask(database, torn) == [(0,)]
            checked = {url for (url,) in ask(database, "SELECT relay_url FROM relay_health WHERE checked_at > 1")}
            due = {url for urls in relays_due(database, options()).values() for url in urls}
            assert due == set(urls) - checked
            tell(database, "DELETE FROM relay_metadata WHERE generated_at = 1")
        report = await check_relays(database, options(), urls)
    assert len(report.relays) == len(urls)
    assert ask(database, torn) == [(0,)]
