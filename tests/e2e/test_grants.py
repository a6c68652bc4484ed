"""A role that `db grants` tells of does all the work, and can change no schema and no event."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import ensure_database, grants_for
from tests.conftest import in_database
from tests.e2e.commands import Commands
from tests.e2e.events import write_events
from tests.postgres15 import Server, postgres15
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask

pytestmark = pytest.mark.slow

EVENTS = 2_000
NEVER = "wss://never.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgres15(tmp_path_factory.mktemp("granted")) as running:
        yield running


@pytest.fixture
def worker(server: Server) -> str:
    """The archive's URL for a role that may do what `db grants` says; printed twice, it says the same again."""
    owner = in_database(server.url, "archive")
    ensure_database(owner)
    for _ in range(2):
        execute(owner, grants_for(owner, "wörker"))
    return owner.replace("postgres@", "w%C3%B6rker@")


def execute(url: str, orders: list[str]) -> None:
    subprocess.run(["psql", "-v", "ON_ERROR_STOP=1", "-q", url], input="\n".join(orders), text=True, check=True)


def done(commands: Commands, url: str, *arguments: str) -> None:
    result = commands.run(url, arguments)
    assert result.code == 0, (arguments, result.stderr)


def test_it_does_all_the_work(worker: str, tmp_path: Path, commands: Commands) -> None:
    write_events(tmp_path / "events.jsonl", EVENTS)
    with LocalRelayProcess(tmp_path / "events.jsonl") as relay:
        for _ in range(2):
            done(commands, worker, "relays", "add", relay.url, NEVER, "--allow-private")
            done(commands, worker, "sync", "--once", "--relay", relay.url, "--allow-private")
            done(commands, worker, "relays", "health", relay.url, "--allow-private")
            done(commands, worker, "cursors", "reset", relay.url)
            done(commands, worker, "gaps", "retry", relay.url)
            done(commands, worker, "relays", "remove", relay.url)
    for arguments in (
        ["relays", "discover", "--once"],
        ["relays", "candidates"],
        ["relays", "list"],
        ["cursors", "show", "--cost"],
        ["gaps", "list"],
        ["quarantine", "list", "--count"],
        ["quarantine", "replay"],
        ["export", "--to", str(tmp_path / "data"), "--day", "2025-03-01"],
        ["db", "migrate"],
    ):
        done(commands, worker, *arguments)
    assert ask(worker, "SELECT count(*) FROM event_relay") == [(EVENTS,)]


@pytest.mark.parametrize(
    "order",
    [
        "CREATE TABLE mine ()",
        "ALTER TABLE event ADD COLUMN mine text",
        "DROP TABLE sync_gap",
        "UPDATE event SET content = ''",
        "DELETE FROM event",
        "UPDATE observation SET seen_at = 0",
        "DELETE FROM observation",
        "TRUNCATE sync_coverage",
        "INSERT INTO schema_migration VALUES (999, 'mine')",
    ],
)
def test_it_does_no_more(worker: str, order: str) -> None:
    with psycopg.connect(worker) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(order.encode())
