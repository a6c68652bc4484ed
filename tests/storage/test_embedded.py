"""The embedded server: shared by processes, stopped by the last one, one line for whatever stands in the way."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.embedded import postgres_server, server_account

pytestmark = pytest.mark.slow

USER = """
import sys, pathlib
from bigbrotr_dagster.storage import embedded
print(embedded.start(pathlib.Path(sys.argv[1])), flush=True)
sys.stdin.readline()
"""
"""A process that uses the server until its stdin ends."""

Use = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def use(tmp_path: Path) -> Iterator[Use]:
    """Start a process that uses the server in `tmp_path`; it has the server when this returns."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    embedded.stop(tmp_path)


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_a_server_takes_queries_and_has_our_settings(tmp_path: Path) -> None:
    url = embedded.start(tmp_path)
    with psycopg.connect(url.replace("/bigbrotr?", "/postgres?")) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
            [["max_connections", "synchronous_commit"]],
        ).fetchall()
    embedded.leave(tmp_path)
    assert dict(rows) == {"max_connections": "200", "synchronous_commit": "on"}


def test_starting_again_gives_the_same_server(tmp_path: Path) -> None:
    first = embedded.start(tmp_path)
    pid = embedded.status(tmp_path).pid
    assert embedded.start(tmp_path) == first
    assert embedded.status(tmp_path).pid == pid
    embedded.leave(tmp_path)
    assert not embedded.status(tmp_path).running


def test_processes_share_a_server_and_the_last_one_stops_it(tmp_path: Path, use: Use) -> None:
    first, second = use(), use()
    pid = embedded.status(tmp_path).pid
    leave(first)
    assert embedded.status(tmp_path).pid == pid
    leave(second)
    assert not embedded.status(tmp_path).running


def test_a_process_killed_by_sigkill_is_not_waited_for(tmp_path: Path, use: Use) -> None:
    killed, last = use(), use()
    killed.kill()
    killed.wait()
    assert embedded.status(tmp_path).in_use
    leave(last)
    assert not embedded.status(tmp_path).running


def test_a_server_that_all_its_users_left_by_sigkill_is_taken_over(tmp_path: Path, use: Use) -> None:
    killed = use()
    pid = embedded.status(tmp_path).pid
    killed.kill()
    killed.wait()
    assert not embedded.status(tmp_path).in_use
    next_one = use()
    assert embedded.status(tmp_path).pid == pid
    leave(next_one)
    assert not embedded.status(tmp_path).running


def test_a_killed_server_is_started_again(tmp_path: Path, use: Use) -> None:
    use()
    pid = embedded.status(tmp_path).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while embedded.status(tmp_path).running:
        time.sleep(0.05)
    embedded.start(tmp_path)
    assert embedded.status(tmp_path).pid not in (None, pid)
    embedded.leave(tmp_path)


def test_stop_ends_the_server_whoever_uses_it(tmp_path: Path, use: Use) -> None:
    use()
    assert embedded.stop(tmp_path)
    assert not embedded.status(tmp_path).running
    assert not embedded.stop(tmp_path)


def test_a_folder_that_does_not_exist_has_nothing_to_stop(tmp_path: Path) -> None:
    assert not embedded.stop(tmp_path / "none")


@pytest.mark.parametrize("name", ["with space", "a,comma", "quote'", "long" * 40])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    url = embedded.start(folder)
    with psycopg.connect(url.replace("/bigbrotr?", "/postgres?")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    [socket_dir] = parse_qs(urlsplit(url).query)["host"]
    assert Path(socket_dir).is_dir()
    embedded.leave(folder)
    assert Path(socket_dir) == folder / "postgres" or not Path(socket_dir).exists()


def test_settings_of_the_callers_shell_do_not_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    url = embedded.start(tmp_path)
    psycopg.connect(url.replace("/bigbrotr?", "/postgres?")).close()
    embedded.leave(tmp_path)


@pytest.mark.parametrize(
    "setting", ["PGREQUIREPEER=nobody", "PGGSSENCMODE=require", "PGSERVICE=none", "PGSSLMODE=odd"]
)
def test_what_a_shell_says_of_another_server_does_not_make_this_one_look_dead(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    process = use()
    monkeypatch.setenv(*setting.split("="))
    assert embedded.start(tmp_path).startswith("postgresql://")
    embedded.leave(tmp_path)
    leave(process)


def test_an_address_that_leads_past_the_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    with pytest.raises(embedded.EmbeddedUnavailable, match="PGHOSTADDR leads to another server"):
        embedded.start(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("below", ["a file", "no permission"])
def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "a file").write_text("")
    folder = tmp_path / "a file" / "data" if below == "a file" else Path("/proc/nowhere")
    with pytest.raises(embedded.EmbeddedUnavailable) as error:
        embedded.start(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    embedded.start(tmp_path)
    embedded.leave(tmp_path)
    with (tmp_path / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(embedded.EmbeddedUnavailable, match=r"does not start.*server\.log") as error:
        embedded.start(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_data_belong_to_the_user_who_made_them(tmp_path: Path) -> None:
    """Root takes the owner's account, so that the owner can use the data afterwards."""
    nobody = 65534
    pgdata = tmp_path / "postgres"
    pgdata.mkdir(mode=0o700)
    os.chown(pgdata, nobody, nobody)
    embedded.start(tmp_path)
    embedded.leave(tmp_path)
    assert (pgdata / "PG_VERSION").stat().st_uid == nobody


def test_a_left_over_lock_of_a_dead_server_is_no_server(tmp_path: Path) -> None:
    pgdata = tmp_path / "postgres"
    pgdata.mkdir()
    (pgdata / "postmaster.pid").write_text(f"{os.getpid()}\n{pgdata}\n1\n5432\n{pgdata}\n\n\nready\n")
    assert postgres_server.postmaster(pgdata) is None


def _account_under(name: str, gate: Any, found: Any) -> None:
    server_account.SYSTEM_USER = name
    gate.wait()
    found.put(server_account.server_account(Path("/nonexistent")).uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_first_starts_at_once_find_one_account() -> None:
    name, at_once, context = f"bigbrotr-test-{os.getpid()}", 8, get_context("spawn")
    gate, found = context.Barrier(at_once), context.Queue()
    starts = [context.Process(target=_account_under, args=(name, gate, found)) for _ in range(at_once)]
    try:
        for start in starts:
            start.start()
        uids = {found.get(timeout=60) for _ in starts}
        assert uids == {pwd.getpwnam(name).pw_uid}
    finally:
        for start in starts:
            start.join()
        subprocess.run(["userdel", name], check=False)
