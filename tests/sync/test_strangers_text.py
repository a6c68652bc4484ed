"""What a relay says comes out nowhere as it went in: terminal, JSON, database, metrics."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.archive.metrics import archive_metrics
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.windowing.tasks import Unproven
from tests.defs.helpers import Relays
from tests.e2e.program import run
from tests.nostr.helpers import received, relay, saying, send, signed, tcp_server
from tests.sync.helpers import ask, tell

pytestmark = pytest.mark.slow

HARMFUL = "\x1b]0;owned\x07\x1b[2J\r\nbigbrotr-dagster: all well\x85\u2028\x7f\u202e\u2066\u061c\ufeff\U000e0041"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\r\nbigbrotr-dagster: all well\x85\u2028\x7f\u202e\u2066\u061c\ufeff\U000e0041"

RELAY = "wss://relay.example.com"


async def closes(socket: ServerConnection) -> None:
    await received(socket, "REQ")
    await socket.close(1008, HARMFUL)


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    """Relays that say it in each of the ways there are; the last one has an event with it that is none."""
    forged = orjson.loads(signed(5).to_json()) | {"content": HARMFUL, "id": HARMFUL}

    async def sends_it(socket: ServerConnection) -> None:
        while True:
            _, id, selection = await received(socket, "REQ")
            if selection.get("since", 0) <= 5 <= selection.get("until", 5) and 1 in selection.get("kinds", [1]):
                await send(socket, "EVENT", id, forged)
            await send(socket, "EOSE", id)

    ways = {
        "CLOSED": saying(["CLOSED", "SUB", f"blocked: {HARMFUL}"]),
        "NOTICE": saying(["NOTICE", HARMFUL]),
        "close": closes,
        "event": sends_it,
    }
    with Relays() as relays:
        served: dict[str, AbstractAsyncContextManager[RelayURL]] = {way: relay(ways[way]) for way in ways}
        urls = {way: str(relays.enter(server)) for way, server in served.items()}
        yield urls | {"HTTP": f"ws://127.0.0.1:{relays.enter(tcp_server(no_handshake))}"}


async def no_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    reason = HARMFUL.replace("\r\n", "").encode()
    writer.write(b"HTTP/1.1 101 " + reason + b"\r\nUpgrade: " + reason + b"\r\nConnection: Upgrade\r\n\r\n")


def assert_harmless(text: str) -> None:
    assert all(line.isprintable() for line in text.replace("\t", " ").split("\n"))


def test_it_is_harmless_in_every_way_out(database: str, tmp_path: Path, urls: dict[str, str]) -> None:
    def said(*arguments: str) -> str:
        result = run(tmp_path, *arguments, BIGBROTR_DATABASE_URL=database)
        assert_harmless(result.stdout)
        assert_harmless(result.stderr)
        return result.stdout + result.stderr

    given = [part for url in urls.values() for part in ("--relay", url)]
    (tmp_path / "quick.yaml").write_text("networks: {clearnet: {timeout: 2}}\n")
    synced = said("sync", "--once", "--allow-private", "--json", "--config", "quick.yaml", *given)
    lines = [line for line in synced.splitlines() if line.startswith("bigbrotr-dagster: ")]
    failed = {way for way, url in urls.items() if any(url in line for line in lines)}
    assert failed >= {"CLOSED", "NOTICE", "close", "HTTP"}
    assert f"{urls['CLOSED']}: closed(blocked: {SHOWN})" in synced
    report = orjson.loads(next(line for line in synced.splitlines() if line.startswith("{")))
    for one in report["per_relay"]:
        assert_harmless(one["error"] or "")

    assert f"closed(blocked: {SHOWN})" in said("cursors", "show")
    assert f"refused: closed(blocked: {SHOWN})" in said("gaps", "list")
    assert "malformed" in said("quarantine", "list")

    for table, column in (("sync_attempt", "error"), ("sync_gap", "reason"), ("event_quarantine", "event_id")):
        for (text,) in ask(database, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"):
            assert_harmless(text)


def gap(reason: str) -> str:
    insert = "INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason)"
    return f"{insert} VALUES ('{RELAY}', '', 1, 2, '{reason}')"


def test_what_an_older_program_stored_is_harmless_on_a_terminal(database: str, tmp_path: Path) -> None:
    tell(database, f"INSERT INTO relay (url, network, discovered_at) VALUES ('{RELAY}', 'unknown', 0)")
    attempt = "INSERT INTO sync_attempt (relay_url, run_id, ok, error, finished_at)"
    tell(database, f"{attempt} VALUES ('{RELAY}', '', false, '{HARMFUL}', now())")
    tell(database, gap(f"refused: {HARMFUL}"))
    for arguments in (("cursors", "show"), ("gaps", "list")):
        result = run(tmp_path, *arguments, BIGBROTR_DATABASE_URL=database)
        assert_harmless(result.stdout)
        assert SHOWN in result.stdout


def test_no_label_of_a_metric_holds_it(database: str) -> None:
    tell(database, gap(f'refused: {HARMFUL}"\\: x'))
    text = generate_latest(archive_metrics(database)).decode()
    assert_harmless(text)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.labels["reason"] for sample in samples if sample.name == "bigbrotr_gaps"} == {Unproven.REFUSED}
