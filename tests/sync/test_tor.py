"""Relays behind onion services, through Debian's tor in a network of its own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.sync import sync_relays
from tests.e2e.events import write_events
from tests.relays.local_relay import LocalRelayProcess
from tests.relays.tor_network import TorNetwork, tor_network, unpublished_onion
from tests.sync.helpers import ask, config, stored_ids

pytestmark = pytest.mark.slow

EVENTS = 4_000


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tor") / "events.jsonl"


@pytest.fixture(scope="module")
def ids(events_file: Path) -> set[str]:
    return set(write_events(events_file, EVENTS))


@pytest.fixture(scope="module")
def network(events_file: Path, ids: set[str]) -> Iterator[TorNetwork]:
    """A network in which a relay that holds `ids` is an onion service."""
    with LocalRelayProcess(events_file, cap=200) as relay, tor_network(events_file.parent, relay.port) as network:
        yield network


def through(network: TorNetwork, **timeouts: Any) -> SynchronizerConfig:
    return config(networks={"tor": {"enabled": True, "proxy_url": network.proxy_url, "timeout": 20} | timeouts})


async def test_a_relay_behind_an_onion_service_is_archived(
    network: TorNetwork, ids: set[str], database: str
) -> None:
    url = f"ws://{network.onion}"
    [report] = (await sync_relays(database, through(network), [url])).relays
    assert (report.error, report.network, report.gaps, report.pending_seconds) == (None, "tor", [], 0)
    assert stored_ids(database, url) == ids
    [again] = (await sync_relays(database, through(network), [url])).relays
    assert (again.ok, again.events_new) == (True, 0)


async def test_an_onion_address_that_no_service_has_fails_with_its_reason(
    network: TorNetwork, database: str
) -> None:
    [report] = (await sync_relays(database, through(network), [f"ws://{unpublished_onion()}"])).relays
    assert not report.ok
    assert report.error is not None
    assert "\n" not in report.error
    assert report.cursor is None, "nothing is covered"


async def test_nothing_is_lost_when_tor_is_killed_in_the_middle(
    network: TorNetwork, ids: set[str], database: str
) -> None:
    url = f"ws://{network.onion}"
    running = asyncio.create_task(sync_relays(database, through(network, timeout=5), [url]))
    while not ask(database, "SELECT 1 FROM event LIMIT 1"):
        assert not running.done(), running.result()
        await asyncio.sleep(0.02)
    network.client.kill()
    [report] = (await running).relays
    assert not report.ok
    assert 0 < len(stored_ids(database, url)) < EVENTS
    await asyncio.to_thread(network.restart_client)
    [report] = (await sync_relays(database, through(network), [url])).relays
    assert (report.error, report.gaps, report.pending_seconds) == (None, [], 0)
    assert stored_ids(database, url) == ids
