"""A first start that is killed at any moment leaves a folder that the next start works in."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.embedded.postgres_cluster import SETTINGS
from bigbrotr_dagster.storage.embedded.postgres_programs import programs_for, run_program
from bigbrotr_dagster.storage.embedded.postgres_server import has_processes, postmaster
from bigbrotr_dagster.storage.embedded.server_account import server_account
from tests.killing import kill_each
from tests.storage.test_embedded import USER

pytestmark = pytest.mark.slow


def any_file(pattern: str) -> Callable[[Path], bool]:
    return lambda data: any(data.glob(pattern))


MOMENTS = {
    "the lock is taken": any_file("postgres.users"),
    "the folder is made": any_file("postgres.new-*"),
    "the version is written": any_file("postgres.new-*/PG_VERSION"),
    "the control file is written": any_file("postgres.new-*/global/pg_control"),
    "the catalog is filled": any_file("postgres.new-*/base/4"),
    "the last database is copied": any_file("postgres.new-*/base/5/PG_VERSION"),
    "it has its name": any_file("postgres/PG_VERSION"),
    "the server starts": any_file("postgres/postmaster.pid"),
}
"""What there is to see in the data folder when the start is killed."""


def begin(data: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def await_moment(data: Path, seen: Callable[[Path], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not seen(data):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def works(data: Path) -> None:
    url = embedded.start(data).replace("/bigbrotr?", "/postgres?")
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == (SETTINGS["max_connections"],)
        assert connection.execute("SELECT count(*) FROM pg_database").fetchone() == (3,)
    embedded.leave(data)
    assert not list(data.glob("postgres.new-*"))


@pytest.mark.parametrize("everything", [True, False], ids=["with initdb", "without initdb, which goes on"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_first_start_that_was_killed_can_be_repeated(tmp_path: Path, moment: str, everything: bool) -> None:
    data = tmp_path / "data"
    process = begin(data)
    await_moment(data, MOMENTS[moment])
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    kill_each(children if everything else ())
    process.communicate()
    works(data)


def test_a_server_that_takes_no_session_is_not_taken_for_one_that_runs(tmp_path: Path) -> None:
    """So it is for a moment after it was killed: the kernel connects to its socket, and nobody answers."""
    starter = begin(tmp_path)
    await_moment(tmp_path, lambda data: (server := postmaster(data / "postgres")) is not None and server.ready)
    found = postmaster(tmp_path / "postgres")
    assert found is not None
    server = psutil.Process(found.pid)
    server.suspend()
    starter.kill()
    starter.communicate()
    words = [sys.executable, "-c", USER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as other:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                other.communicate(timeout=5)
            server.kill()
            said, _ = other.communicate(timeout=60)
            assert said.startswith(b"postgresql://")
        finally:
            other.kill()
            kill_each([server])
    works(tmp_path)


HOLDER = """
import os, sys
held = os.open(sys.argv[1], os.O_RDONLY)
print(flush=True)
while os.getppid() != 1:  # as pg_ctl does, which looks at files until the server is there
    for opened in [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]:
        os.close(opened)
"""


def test_a_program_that_starts_the_server_is_seen_whatever_else_it_opens_meanwhile(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline()
            assert all(has_processes(tmp_path) for _ in range(100))
        finally:
            holder.kill()
    assert not has_processes(tmp_path)


def test_what_is_left_is_said_and_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tmp_path / "data"
    process = begin(data)
    await_moment(data, MOMENTS["the control file is written"])
    [left] = data.glob("postgres.new-*")
    process.kill()
    process.communicate()
    with caplog.at_level(logging.WARNING):
        works(data)
    assert f"removing {left}, left by a first start that was interrupted" in caplog.messages


@pytest.mark.parametrize("stage", ["", "PG_VERSION", "global/pg_control", "base/5/PG_VERSION"])
def test_what_an_earlier_version_has_left_under_the_final_name_is_removed(tmp_path: Path, stage: str) -> None:
    """It ran initdb there, and failed ever after."""
    data = tmp_path / "data"
    pgdata = data / "postgres"
    pgdata.mkdir(parents=True, mode=0o700)
    account = server_account(pgdata)
    account.own(pgdata)
    if stage:
        with account.place(pgdata) as place:
            words = account.command(programs_for(account) / "initdb", "-D", place.name, "-U", "postgres")
            process = subprocess.Popen(
                words, cwd="/", pass_fds=place.fds, stdout=subprocess.DEVNULL, start_new_session=True
            )
        await_moment(pgdata, lambda folder: (folder / stage).exists())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    works(data)


def test_a_folder_that_was_in_use_is_never_taken_for_left_over(tmp_path: Path) -> None:
    """Also restored from a backup, which lacks what a server writes when it starts."""
    url = embedded.start(tmp_path).replace("/bigbrotr?", "/postgres?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.execute("CHECKPOINT")
    embedded.leave(tmp_path)
    (tmp_path / "postgres" / "postmaster.opts").unlink()
    (tmp_path / "postgres" / "server.log").unlink()
    url = embedded.start(tmp_path).replace("/bigbrotr?", "/postgres?")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    embedded.leave(tmp_path)


def test_a_folder_with_something_else_in_it_is_one_line_and_stays(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(embedded.EmbeddedUnavailable, match=r"is not empty and holds no PostgreSQL") as error:
        embedded.start(tmp_path)
    assert "\n" not in str(error.value)
    assert (tmp_path / "postgres" / "thesis.txt").exists()


def test_an_initdb_that_fails_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); {USER}"
    result = subprocess.run([sys.executable, "-c", limit, str(data)], capture_output=True, text=True, timeout=120)
    assert "initdb failed" in result.stderr.splitlines()[-1]
    assert {path.name for path in data.iterdir()} <= {"postgres.lock", "postgres.users"}
    works(data)


def test_the_data_may_be_on_another_disk_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "pg").mkdir(parents=True)
    data = tmp_path / "data"
    data.mkdir()
    (data / "postgres").symlink_to(tmp_path / "disk" / "pg")
    works(data)
    assert (tmp_path / "disk" / "pg" / "PG_VERSION").exists()
    assert (data / "postgres").is_symlink()


def test_programs_find_no_setting_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    account = server_account(tmp_path / "none")
    result = run_program(Path("/usr/bin/env"), account=account, seconds=10)
    assert "PGDATA" not in result.stdout
