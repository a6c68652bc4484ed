"""A fresh archive that is given one relay finds the others by itself, and asks who is none only once."""

from pathlib import Path

import orjson
import pytest

from tests.defs.helpers import Relays
from tests.discovery.strangers import FALSE, Strangers, strangers
from tests.e2e.commands import Commands
from tests.nostr.helpers import signed
from tests.sync.helpers import ask

pytestmark = pytest.mark.slow

CHAINS, LENGTH = 60, 5
NOW = 1_790_000_000
LETTERS = str.maketrans("0123456789", "bcdefghijk")  # an onion name has few digits
KEY = "ab" * 32

MENTIONS = [
    lambda url: {"kind": 10002, "tags": [["r", url]]},
    lambda url: {"kind": 1, "tags": [["r", url]]},
    lambda url: {"kind": 30002, "tags": [["d", "x"], ["relay", url]]},
    lambda url: {"kind": 9734, "tags": [["relays", url]]},
    lambda url: {"kind": 30166, "tags": [["d", url]]},
    lambda url: {"kind": 1, "tags": [["e", KEY, url]]},
    lambda url: {"kind": 1, "tags": [["p", KEY, url]]},
    lambda url: {"kind": 1, "tags": [["a", f"30023:{KEY}:x", url]]},
    lambda url: {"kind": 1, "tags": [["q", KEY, url]]},
    lambda url: {"kind": 3, "content": orjson.dumps({url: {"read": True}}).decode()},
    lambda url: {"kind": 1, "content": orjson.dumps({"names": {}, "relays": {KEY: [url]}}).decode()},
    lambda url: {"kind": 2, "content": url},
]
"""Every place in which an event may name a relay."""


async def chains(servers: Strangers, false: list[str]) -> tuple[str, set[str]]:
    """Relays of which each names the next one of its chain, and one false one; the first names every chain."""
    everyone: set[str] = set()
    heads: list[str] = []
    for chain in range(CHAINS):
        following: str | None = None
        for place in reversed(range(LENGTH)):
            number = chain * LENGTH + place
            named = [false[number], *([following] if following else [])]
            events = [
                signed(NOW + 10 * number + k, **MENTIONS[(number + k) % len(MENTIONS)](url))
                for k, url in enumerate(named)
            ]
            following = await servers.relay(events)
            everyone.add(following)
        heads.append(str(following))
    first = await servers.relay([signed(NOW, kind=10002, tags=[["r", head] for head in heads])])
    return first, everyone | {first}


async def false_ones(servers: Strangers, count: int) -> list[str]:
    """So many texts that are called relays, and are none."""
    found: list[str] = []
    while len(found) < count:
        found += [await servers.server(handler) for handler in FALSE.values()]
        found += [await servers.web_page(), await servers.bad_certificate()]
        found.append(f"ws://{str(len(found)).translate(LETTERS):a>56}.onion")
        found += ["wss://junk text", f"wss://{len(found)}", "wss://127.0.0.1:99999", "ws://[::1"]
    return found[:count]


def test_one_relay_leads_to_all_and_who_is_none_is_asked_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "synchronizer.yaml"
    config.write_text(
        "allow_private: true\n"
        "networks: {clearnet: {timeout: 3, max_tasks: 50}}\n"
        "discovery: {max_per_host: 1000, max_new_per_day: 1000}\n"
    )
    monkeypatch.setenv("BIGBROTR_CONFIG", str(config))
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path))
    commands = Commands(tmp_path, monkeypatch, capsys)
    with Relays() as relays:
        servers = relays.enter(strangers())
        false = relays.run(false_ones(servers, CHAINS * LENGTH))
        first, true = relays.run(chains(servers, false))
        commands.done(database, ["relays", "add", "--allow-private", first])
        for _ in range(LENGTH + 1):
            synced = commands.run(database, ["sync", "--once", "--config", str(config)])
            assert synced.code == 0, synced.stderr
            report = orjson.loads(commands.done(database, ["relays", "discover", "--once", "--json"]))
        assert set(report) == {"scanned", "candidates_new", "validated", "failed", "waiting"}
        assert {url for (url,) in ask(database, "SELECT url FROM relay")} == true
        assert commands.run(database, ["sync", "--once", "--config", str(config)]).code == 0
        assert ask(database, "SELECT count(*) FROM event") == [(2 * CHAINS * LENGTH - CHAINS + 1,)]
        connections = {url: servers.connections[url.replace("wss://", "ws://")] for url in false}
        assert max(connections.values()) == 1
        assert commands.done(database, ["relays", "discover", "--once"]).startswith("0 events scanned, 0 new")
        listed = orjson.loads(commands.done(database, ["relays", "candidates", "--json"]))
        assert {one["url"] for one in listed} <= set(false)
