"""Who becomes a relay, who does not and why, and what a failure costs."""

import asyncio
import socket
import time
from typing import Any

import pytest

from bigbrotr_dagster.archive.registry import register_relays, remove_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.candidates import list_candidates
from bigbrotr_dagster.discovery.scan import scan
from bigbrotr_dagster.discovery.validation import ValidationReport, validate
from tests.discovery.archived import Made, archive, key, naming
from tests.discovery.strangers import FALSE, TERSE, Strangers, strangers
from tests.sync.helpers import ask, config, tell

pytestmark = pytest.mark.slow


def patient(seconds: float = 1.0, **discovery: Any) -> SynchronizerConfig:
    networks = {"clearnet": {"timeout": seconds, "max_tasks": 10, "max_per_host": 10}}
    return config(discovery=discovery, networks=networks)


async def look_and_try(database: str, options: SynchronizerConfig) -> ValidationReport:
    await asyncio.to_thread(scan, database, options)
    return await validate(database, options)


def relays(database: str) -> set[str]:
    return {url for (url,) in ask(database, "SELECT url FROM relay")}


def due_again(database: str) -> None:
    tell(database, "UPDATE relay_candidate SET next_try = now() WHERE promoted_at IS NULL")


async def false_ones(servers: Strangers) -> dict[str, str]:
    """Servers that are no relays: the reason by URL."""
    found = {await servers.server(handler): "not-nostr" for handler in FALSE.values()}
    reasons = dict(zip(found, ("silent", "not-nostr", "closed", "not-nostr", "not-nostr"), strict=True))
    reasons[await servers.web_page()] = "http"
    reasons[await servers.bad_certificate()] = "certificate"
    reasons[await servers.deaf()] = "timeout"
    reasons[closed_port()] = "network"
    return reasons


def closed_port() -> str:
    """A relay's URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"ws://127.0.0.1:{closed.getsockname()[1]}"


async def test_only_who_speaks_nostr_becomes_a_relay(any_database: str) -> None:
    async with strangers() as servers:
        true = {await servers.relay(), *[await servers.server(handler) for handler in TERSE.values()]}
        false = await false_ones(servers)
        archive(any_database, [naming(*true, *false)])
        report = await look_and_try(any_database, patient())
        assert set(report.validated) == relays(any_database) == true
        assert {one.url: one.reason for one in list_candidates(any_database)} == false
        assert report.failed.total() == len(false) == report.waiting
        for _ in range(3):
            again = await look_and_try(any_database, patient())
            assert (again.tried, again.waiting) == (0, len(false))
        assert {url: n for url, n in servers.connections.items() if n != 1} == {}


async def test_a_relay_is_registered_in_one_transaction_with_its_candidates_end(database: str) -> None:
    async with strangers() as servers:
        url = await servers.relay()
        value = '{"network": "local", "failures": 0, "timestamp": 1}'
        tell(database, f"INSERT INTO service_state VALUES ('validator', 'checkpoint', '{url}', '{value}')")
        await look_and_try(database, patient())
    [(found, network, at)] = ask(database, "SELECT url, network, discovered_at FROM relay")
    assert (found, network) == (url, "local")
    assert time.time() - at < 60
    assert list_candidates(database) == []
    assert ask(database, "SELECT count(*) FROM service_state WHERE service_name = 'validator'") == [(0,)]
    assert ask(database, "SELECT promoted_at = tried_at FROM relay_candidate") == [(True,)]


async def test_failures_wait_longer_each_time(database: str) -> None:
    async with strangers() as servers:
        archive(database, [naming(await servers.server(FALSE["closes"]))])
        hours = []
        for _ in range(14):
            await look_and_try(database, patient())
            waits = "SELECT extract(epoch FROM next_try - tried_at)::int / 3600 FROM relay_candidate"
            hours += [waited for (waited,) in ask(database, waits)]
            due_again(database)
    assert hours == [1, 2, 4, 8, 16, *[24] * 7, 168, 168]


async def test_whom_many_name_is_tried_first_and_a_flood_delays_nobody(database: str) -> None:
    async with strangers() as servers:
        few, many, vouched = [await servers.relay() for _ in range(3)]
        flood = [f"{closed_port()}/{n}" for n in range(500)]
        monitor = Made(30166, (("d", vouched), ("rtt-open", "3")), author="monitor", created_at=int(time.time()))
        archive(database, [naming(*flood[k : k + 50], author="flood") for k in range(0, 500, 50)])
        archive(database, [naming(few), naming(many, author="b"), naming(many, author="c"), monitor])
        bounds = {"max_per_host": 1000, "max_tries": 4, "nip66_monitors": [key("monitor").hex()]}
        report = await look_and_try(database, patient(**bounds))
        assert set(report.validated) == {few, many, vouched}
        assert report.failed == {"network": 1}
        assert report.waiting == 500
        assert servers.connections == {few: 1, many: 1}  # the monitor's word saves a try


async def test_no_more_become_relays_in_a_day_than_are_allowed(database: str) -> None:
    async with strangers() as servers:
        archive(database, [naming(*[await servers.relay() for _ in range(5)])])
        assert len((await look_and_try(database, patient(max_new_per_day=2))).validated) == 2
        again = await look_and_try(database, patient(max_new_per_day=2))
        assert (again.tried, again.waiting, len(relays(database))) == (0, 3, 2)
        tell(database, "UPDATE relay_candidate SET promoted_at = promoted_at - interval '25 hours'")
        assert len((await look_and_try(database, patient(max_new_per_day=2))).validated) == 2


async def test_nothing_is_held_against_anybody_while_our_own_network_is_down(database: str) -> None:
    async with strangers() as servers:
        known, true, dead = await servers.relay(), await servers.relay(), closed_port()
    tell(database, f"INSERT INTO relay VALUES ('{known}', 'local', 1)")
    tell(database, f"INSERT INTO relay_limits (relay_url, succeeded_at) VALUES ('{known}', now())")
    archive(database, [naming(true, dead)])
    report = await look_and_try(database, patient())  # its servers are gone, as if the line were cut
    assert (report.networks_down, report.tried, report.waiting) == ({"clearnet"}, 0, 2)
    assert {one.failures for one in list_candidates(database)} == {0}
    async with strangers() as servers:
        tell(database, f"UPDATE relay SET url = '{await servers.relay()}'")
        tell(database, "UPDATE relay_limits SET relay_url = (SELECT url FROM relay)")
        report = await look_and_try(database, patient())  # the line is back: they are dead by themselves
        assert (report.networks_down, report.failed) == (set(), {"network": 2})


async def test_what_the_operator_denies_or_took_off_is_not_tried(database: str) -> None:
    async with strangers() as servers:
        wanted, removed, never_named = [await servers.relay() for _ in range(3)]
        archive(database, [naming(wanted, removed)])
        assert len((await look_and_try(database, patient())).validated) == 2
        register_relays(database, [never_named])
        assert remove_relays(database, [removed, never_named]) == 2
        before = servers.connections.copy()
        archive(database, [naming(removed, never_named, author="b"), naming(removed, never_named, author="c")])
        report = await look_and_try(database, patient())
        assert (report.tried, report.waiting, relays(database)) == (0, 0, {wanted})
        denied = await servers.relay()
        archive(database, [naming(denied)])
        scan(database, patient())
        assert (await validate(database, patient(deny=["127.*"]))).tried == 0
        assert servers.connections == before


async def test_a_private_address_is_refused_without_a_connection(database: str) -> None:
    async with strangers() as servers:
        url = await servers.relay()
        tell(
            database,
            f"INSERT INTO relay_candidate (url, network, host, source) VALUES"
            f" ('{url}', 'local', '127.0.0.1', 'file'), ('wss://{'a' * 56}.onion', 'tor', 'x.onion', 'file')",
        )
        options = config(
            allow_private=False, networks={"tor": {"enabled": True, "proxy_url": "socks5://127.0.0.1:1"}}
        )
        report = await validate(database, options)
        assert (report.failed, servers.connections) == ({"proxy": 1}, {})
        assert {(one.network, one.failures) for one in list_candidates(database)} == {("local", 0), ("tor", 0)}


async def test_who_is_killed_repeats_what_was_not_written(database: str) -> None:
    """Cancelled in the middle: promotions stand, failures so far are written, nothing is lost."""
    async with strangers() as servers:
        true = {await servers.relay() for _ in range(3)}
        silent = {await servers.server(FALSE["silent"]) for _ in range(3)}
        archive(database, [naming(*true, *silent)])
        scan(database, patient())
        going = asyncio.create_task(validate(database, patient(30)))
        while len(relays(database)) < 3:
            await asyncio.sleep(0.05)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert relays(database) == true
        assert {one.url for one in list_candidates(database)} == silent
        report = await validate(database, patient(0.5))
        assert report.failed == {"silent": 3}
