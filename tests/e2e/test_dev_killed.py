"""`dev` that is killed leaves nothing running; a second one on the same folder, and what others may read."""

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from bigbrotr_dagster.cli.dev.guardian import MODULE as GUARDIAN
from bigbrotr_dagster.storage import embedded
from tests.conftest import in_database
from tests.defs.helpers import Relays, some_events
from tests.e2e.dev_command import MARK, living
from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import run, start
from tests.killing import kill_each
from tests.ports import free_port
from tests.private import open_to_others
from tests.sync.helpers import stored_ids

pytestmark = pytest.mark.slow

PATIENCE = 90.0
"""Seconds: this machine may be busy."""


class Started:
    """A `dev` of the test's own in an empty folder, under a umask that hides nothing."""

    def __init__(self, home: Path, mark: str) -> None:
        self.home, self.mark = home, mark
        self.data = home / ".bigbrotr"
        self.ui = Ui(free_port())
        before = os.umask(0)
        self.process = start(home, "dev", "--port", str(self.ui.port), "--allow-private", **{MARK: mark})
        os.umask(before)

    def serves(self) -> bool:
        assert self.process.poll() is None
        return self.ui.answers()

    def names(self) -> list[str]:
        return sorted(" ".join(process.cmdline())[:120] for process in living(self.mark))

    def kill(self, *others: psutil.Process) -> None:
        for process in (self.process, *others):
            process.kill()
        self.process.communicate()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Started]:
    """`dev`, serving; the test kills it."""
    started = Started(tmp_path, secrets.token_hex(8))
    try:
        eventually(started.serves, PATIENCE)
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()
        kill_each(living(started.mark))


def guardians(mark: str) -> list[psutil.Process]:
    return [process for process in living(mark) if GUARDIAN in process.cmdline()]


def test_a_killed_dev_leaves_nothing_running_and_its_run_keeps_its_events(killed: Started) -> None:
    [service] = [process for process in living(killed.mark) if "code-server" in process.cmdline()]
    [folder] = [Path(word).parent for word in service.cmdline() if word.endswith("code.sock")]
    with Relays() as relays:
        slow = relays.serve(some_events(500, "slow"), cap=6, delay=0.4)
        run_id = killed.ui.launch({"relays": [slow.url]})
        eventually(lambda: len(slow.requests) >= 4, PATIENCE)
        assert len(killed.names()) > 6
        killed.kill()
        eventually(lambda: not living(killed.mark), PATIENCE)
    assert not embedded.status(killed.data).running
    assert not folder.exists()
    url = embedded.start(killed.data)
    try:
        assert len(stored_ids(url, slow.url)) >= 8
        with psycopg.connect(in_database(url, "bigbrotr_dagster")) as connection:
            query = b"SELECT status FROM runs WHERE run_id = %s"
            assert connection.execute(query, [run_id]).fetchone() == ("CANCELED",)
    finally:
        embedded.leave(killed.data)


def test_the_next_dev_stops_what_one_has_left_whose_guardian_was_killed_with_it(killed: Started) -> None:
    killed.kill(*guardians(killed.mark))
    left = {process.pid for process in living(killed.mark)}
    assert len(left) > 3
    again = start(killed.home, "dev", "--port", str(killed.ui.port), **{MARK: killed.mark})
    try:
        assert again.stdout is not None
        assert again.stdout.readline() == "Starting Dagster ...\n"
        assert again.stdout.readline().startswith("Serving on")
        alive = {process.pid for process in living(killed.mark) if process.name() != "postgres"}
        assert not alive & left
    finally:
        again.send_signal(signal.SIGINT)
        _, stderr = again.communicate(timeout=PATIENCE)
    assert "were left by a `dev` that was killed; they are stopped" in stderr
    assert again.returncode == 0
    assert living(killed.mark) == []


def test_a_second_dev_on_the_folder_is_one_line_and_nothing_of_it_is_open_to_others(killed: Started) -> None:
    second = run(killed.home, "dev", "--port", str(free_port()))
    assert second.code == 1
    assert second.stderr == (
        f"bigbrotr-dagster: `dev` runs already on {killed.data} (process {killed.process.pid}); "
        "BIGBROTR_DATA_DIR names another folder\n"
    )
    opened = open_to_others(killed.data)  # PostgreSQL's socket, in a private folder
    assert all(mode.startswith("s") and path.parent.name == "postgres" for path, mode in opened.items()), opened
    for process in living(killed.mark):
        if process.name() != "postgres":
            sockets = [one.laddr for one in process.net_connections("unix") if one.laddr.startswith("/tmp/")]
            assert not any(open_to_others(Path(path)) for path in sockets), sockets


def test_a_code_server_that_is_killed_is_started_again(killed: Started) -> None:
    [server] = [process for process in living(killed.mark) if "code-server" in process.cmdline()]
    server.kill()
    eventually(lambda: [one for one in living(killed.mark) if "code-server" in one.cmdline()], PATIENCE)
    eventually(lambda: killed.ui.ask("{assetNodes {id}}")["assetNodes"], PATIENCE)
    assert killed.process.poll() is None


@pytest.mark.parametrize("program", ["dagster._daemon", "webserver"])
def test_a_daemon_or_web_server_that_ends_is_one_line_and_ends_dev(killed: Started, program: str) -> None:
    [process] = [process for process in living(killed.mark) if program in process.cmdline()]
    process.kill()
    _, stderr = killed.process.communicate(timeout=PATIENCE)
    assert killed.process.returncode == 1
    named = "daemon" if program == "dagster._daemon" else "web server"
    assert f"bigbrotr-dagster: Dagster's {named} ended (exit status -9)" in stderr.splitlines()
    eventually(lambda: not living(killed.mark), PATIENCE)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, "dev", "--port", str(free_port()), BIGBROTR_DATA_DIR=str(tmp_path / "file" / "data"))
    assert result.code == 1
    [line] = result.stderr.splitlines()
    assert "Not a directory" in line
