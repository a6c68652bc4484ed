"""The database's password is where the operator put it, and nowhere else where others, or a log, can show it."""

import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database
from tests.e2e.dev_command import MARK, living
from tests.e2e.events import write_events
from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import environment, run, start
from tests.killing import kill_each
from tests.ports import free_port
from tests.postgres15 import BIN, Server, postgres15
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask, tell

pytestmark = pytest.mark.slow

CANARY = "cAnArY[7#4?9&2"
WRITTEN = "cAnArY[7#4?9%262"
"""As the URL has it: `&` is fine there, too, but this shows that escapes are undone."""

PIECE = "cAnArY"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgres15(tmp_path_factory.mktemp("secret")) as running:
        tell(running.url, f"CREATE ROLE archivist LOGIN CREATEDB PASSWORD '{CANARY}'")
        rules = running.folder / "data" / "pg_hba.conf"
        rules.write_text("local all archivist scram-sha-256\n" + rules.read_text())
        tell(running.url, "SELECT pg_reload_conf()")
        yield running


def as_archivist(server: Server, name: str) -> str:
    return f"postgresql://archivist:{WRITTEN}@/{name}?host={server.folder}"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("relay") / "events.jsonl"
    write_events(path, 1000)
    with LocalRelayProcess(path) as process:
        yield process.url


def seen_by_others(processes: list[psutil.Process]) -> list[str]:
    """The command lines that hold a piece of the password: `ps` shows them to everybody."""
    found = []
    for process in processes:
        try:
            found += [line for line in process.cmdline() if PIECE in line]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def files_with_a_piece(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and PIECE.encode() in path.read_bytes()]


def dumped(server: Server, name: str) -> str:
    """Everything that is in a database."""
    command = [f"{BIN}/pg_dump", "--inserts", "--rows-per-insert=1000", in_database(server.url, name)]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode(errors="replace")


def test_dev_shows_the_password_to_nobody(server: Server, relay: str, tmp_path: Path) -> None:
    url = as_archivist(server, "watched")
    ensure_database(url)
    register_relays(url, [relay, "wss://never.invalid.example"])  # the latter: a public one, so that no seeds come
    mark, port = secrets.token_hex(8), free_port()
    process = start(
        tmp_path, "dev", "--allow-private", "--port", str(port), BIGBROTR_DATABASE_URL=url, **{MARK: mark}
    )
    ui, shown = Ui(port), set()

    def is_green() -> bool:
        shown.update(seen_by_others(living(mark)))
        return relay in ui.green()

    try:
        eventually(ui.answers, 180)
        eventually(is_green, 180)
        assert len(living(mark)) > 3, "the web server, the daemon and the code server were looked at"
        everything = ui.ask(
            "{instance {info} runsOrError {... on Runs {results {runConfigYaml tags {key value}}}}}"
        )
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        kill_each(living(mark))
    assert shown == set()
    assert PIECE not in out + err
    assert PIECE not in str(everything)
    assert files_with_a_piece(tmp_path) == []
    for name in ("watched", "watched_dagster"):
        text = dumped(server, name)
        assert "INSERT INTO" in text
        assert PIECE not in text


def test_sync_leaves_no_password_behind(server: Server, relay: str, tmp_path: Path) -> None:
    command = ["sync", "--once", "--relay", relay, "--allow-private", "--json"]
    result = run(tmp_path, *command, BIGBROTR_DATABASE_URL=as_archivist(server, "synced"))
    assert (result.code, PIECE in result.stdout + result.stderr) == (0, False)
    assert ask(in_database(server.url, "synced"), "SELECT count(*) FROM event") == [(1000,)]
    assert files_with_a_piece(tmp_path) == []
    for name in ("synced", "synced_dagster"):
        assert PIECE not in dumped(server, name)


def test_psql_is_not_told_the_password_where_ps_shows_it(server: Server, tmp_path: Path) -> None:
    url = as_archivist(server, "asked")
    ensure_database(url)
    process = start(tmp_path, "db", "psql", "-Atc", "SELECT current_user, pg_sleep(5)", BIGBROTR_DATABASE_URL=url)
    try:
        mine = psutil.Process(process.pid)
        psql = eventually(lambda: [one for one in mine.children() if "psql" in one.name()], 60)[0]
        assert PIECE not in " ".join(psql.cmdline())
    finally:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "archivist|\n", "")


@pytest.mark.parametrize("wrong", ["password", "server"])
def test_what_fails_repeats_no_password(server: Server, tmp_path: Path, wrong: str) -> None:
    url = as_archivist(server, "watched")
    url = url.replace("%262", "%263") if wrong == "password" else re.sub("host=.*", "host=/nowhere", url)
    for arguments in (["cursors", "show"], ["sync", "--once", "--relay", "wss://a.example.com"], ["db", "url"]):
        result = run(tmp_path, *arguments, BIGBROTR_DATABASE_URL=url)
        assert result.code == 1
        assert len(result.stderr.splitlines()) == 1
        assert PIECE not in result.stdout + result.stderr
    variables = environment(tmp_path, BIGBROTR_DATABASE_URL=url, DAGSTER_HOME=str(Path(__file__).parents[2]))
    code = "import dagster as dg; dg.DagsterInstance.get().get_runs()"  # what a trace of Dagster's shows
    command = [sys.executable, "-c", code]
    failed = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "DatabaseUnavailable: PostgreSQL at " in failed.stderr
    assert PIECE not in failed.stdout + failed.stderr
