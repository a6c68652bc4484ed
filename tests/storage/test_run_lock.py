"""A run's lock is held wherever its process is; it comes back after a restart, and ends with the process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.locks import held_runs, run_lock
from bigbrotr_dagster.storage.locks.runs import BEAT, run_key
from tests.conftest import in_database
from tests.debian import program
from tests.e2e.graphql import eventually
from tests.machine import within
from tests.postgres15 import postgres15
from tests.storage.other_host import OtherHost

pytestmark = pytest.mark.slow

HOLD = """
import sys, time
from bigbrotr_dagster.storage.locks import run_lock
with run_lock(sys.argv[1], "one", print):
    print("held", flush=True)
    time.sleep(600)
"""


def nothing() -> None:
    pass


def cut(database: str, run_id: str) -> None:
    """End the session that holds a run's lock, as a server that restarts would; it is gone when this returns."""
    holder = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = %s"
    )
    with psycopg.connect(database, autocommit=True) as operator:
        end = f"SELECT pg_terminate_backend(pid, 30000) FROM ({holder}) AS holder"
        assert operator.execute(end.encode(), [run_key(run_id)]).fetchall()


def test_a_run_is_held_from_its_first_moment_to_its_end(any_database: str) -> None:
    with run_lock(any_database, "one", nothing):
        assert held_runs(any_database, ["one", "two"]) == {"one"}
        with run_lock(any_database, "one", nothing):
            pass
        assert held_runs(any_database, ["one"]) == {"one"}, "another process of the run ended"
    assert held_runs(any_database, ["one"]) == set()
    assert held_runs(any_database, []) == set()


@pytest.mark.parametrize("key", [2**63 - 1, -(2**63), -1, 0, 2**32])
def test_a_key_is_found_whatever_its_halves_are(
    any_database: str, key: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigbrotr_dagster.storage.locks.runs.lock_key", lambda *_: key)
    with run_lock(any_database, "one", nothing):
        assert held_runs(any_database, ["one"]) == {"one"}


def test_the_lock_of_another_archive_on_the_server_is_not_ours(database: str, embedded_server: str) -> None:
    with run_lock(in_database(embedded_server, "postgres"), "one", nothing):
        assert held_runs(database, ["one"]) == set()


def test_a_lock_that_the_server_forgot_is_taken_back_and_told(any_database: str) -> None:
    returned = threading.Event()
    with run_lock(any_database, "one", returned.set):
        cut(any_database, "one")
        assert returned.wait(6 * BEAT)
        assert held_runs(any_database, ["one"]) == {"one"}
        cut(any_database, "one")
        eventually(lambda: held_runs(any_database, ["one"]) == {"one"}, 6 * BEAT)


def test_a_return_that_could_not_be_told_is_told_again(any_database: str) -> None:
    tries = []

    def fail_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("Dagster's database is still away")

    with run_lock(any_database, "one", fail_once):
        cut(any_database, "one")
        eventually(lambda: len(tries) == 2, 8 * BEAT)
        assert held_runs(any_database, ["one"]) == {"one"}


def test_a_run_goes_on_where_the_server_cannot_be_reached(tmp_path: object) -> None:
    with within(10), run_lock(f"postgresql:///nowhere?host={tmp_path}", "one", nothing):
        pass


def test_a_killed_process_holds_nothing(any_database: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, any_database], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert held_runs(any_database, ["one"]) == {"one"}
    process.kill()
    process.communicate()
    eventually(lambda: held_runs(any_database, ["one"]) == set(), 30)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another host")
def test_a_host_that_vanishes_without_a_word_holds_nothing_after_a_minute(tmp_path: Path) -> None:
    """Its cable is cut: no end of the connection ever reaches the server, which by default waits two hours."""
    program("/usr/sbin/ip", "iproute2")
    with OtherHost() as host, postgres15(tmp_path, listen=host.near) as server:
        far = f"postgresql://postgres@{host.near}/postgres"
        process = host.start([sys.executable, "-c", HOLD, far])
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert held_runs(server.url, ["one"]) == {"one"}
        host.cut_cable()
        with within(60):
            eventually(lambda: held_runs(server.url, ["one"]) == set(), 90)
        assert process.poll() is None, "it lives, and nobody can know"
