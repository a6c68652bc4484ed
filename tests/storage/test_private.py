"""Nobody else reads what is kept on this machine, and no folder that is not ours is opened for it."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.embedded import binaries
from bigbrotr_dagster.storage.embedded.postgres_programs import SHARED_FOLDER
from bigbrotr_dagster.storage.private_files import make_data_dir, write_whole
from tests.private import open_to_others

pytestmark = pytest.mark.slow

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")

NOBODY = 65534


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    yield
    os.umask(before)


def modes_above(folder: Path) -> dict[Path, int]:
    return {one: one.stat().st_mode for one in folder.parents}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_server_leaves_nothing_open_whatever_the_umask_is(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        url = embedded.start(tmp_path / "a" / "data")
        with psycopg.connect(url.replace("/bigbrotr?", "/postgres?"), autocommit=True) as connection:
            connection.execute("CREATE TABLE event AS SELECT generate_series(1, 1000)")
        # Its folder lets nobody in; the socket itself is open to all, as PostgreSQL makes it.
        opened = {path: mode for path, mode in open_to_others(tmp_path / "a").items() if not mode.startswith("s")}
        embedded.leave(tmp_path / "a" / "data")
    assert opened == {}


@pytest.mark.parametrize("name", ["x" * 120])
def test_a_socket_in_the_folder_for_temporary_files_is_private(tmp_path: Path, name: str) -> None:
    with umask(0):
        url = embedded.start(tmp_path / name)
    try:
        folder = Path(psycopg.conninfo.conninfo_to_dict(url)["host"])
        assert tmp_path not in folder.parents
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        embedded.leave(tmp_path / name)


def test_a_folder_of_an_earlier_version_becomes_private_and_a_shared_one_stays(tmp_path: Path) -> None:
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    for folder in (ours, shared):
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "postgres.lock").touch()
    (shared / "holiday.jpg").touch()
    make_data_dir(ours)
    make_data_dir(shared)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


def test_a_link_in_place_of_a_lock_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o644)
    data = tmp_path / "data"
    data.mkdir()
    (data / "postgres.lock").symlink_to(target)
    with pytest.raises(embedded.EmbeddedUnavailable) as error:
        embedded.start(data)
    assert "\n" not in str(error.value)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \udcff")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@only_root
@pytest.mark.parametrize("depth", [1, 3])
def test_root_opens_no_folder_on_the_way(tmp_path: Path, depth: int) -> None:
    folder = tmp_path
    for _ in range(depth):
        folder = folder / "private"
        folder.mkdir(mode=0o700)
    before = modes_above(folder / "data")
    url = embedded.start(folder / "data")
    with psycopg.connect(url.replace("/bigbrotr?", "/postgres?")) as connection:
        [(owner,)] = connection.execute("SELECT count(*) FROM pg_stat_file('base')").fetchall()
    embedded.leave(folder / "data")
    assert owner == 1
    assert modes_above(folder / "data") == before
    assert (folder / "data" / "postgres").stat().st_uid != 0


@only_root
def test_a_crashed_server_recovers_behind_a_closed_folder(tmp_path: Path) -> None:
    """Also its restart of its own parts, after one was killed, needs no way through the folders."""
    url = embedded.start(tmp_path / "data").replace("/bigbrotr?", "/postgres?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        victim = connection.info.backend_pid
    with psycopg.connect(url) as connection:
        victim = connection.info.backend_pid
        os.kill(victim, 9)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    for _ in range(600):
        try:
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
                break
        except psycopg.OperationalError:
            continue
    embedded.leave(tmp_path / "data")


@only_root
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment below /root, made with any umask."""
    closed = tmp_path / "root"
    closed.mkdir(mode=0o700)
    package = binaries().parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    before = set(SHARED_FOLDER.glob("*"))
    mode = (closed / package.name / "pginstall18" / "bin" / "postgres").stat().st_mode
    monkeypatch.syspath_prepend(closed)
    try:
        with umask(0):
            embedded.start(tmp_path / "data")
        embedded.leave(tmp_path / "data")
        [copy] = set(SHARED_FOLDER.glob("*")) - before
        assert all(one.is_symlink() or not one.stat().st_mode & 0o022 for one in (copy, *copy.rglob("*")))
        assert (closed / package.name / "pginstall18" / "bin" / "postgres").stat().st_mode == mode
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        for one in set(SHARED_FOLDER.glob("*")) - before:
            shutil.rmtree(one)


@only_root
def test_what_root_makes_in_a_users_folder_is_the_users(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    (data / "postgres").mkdir(mode=0o700)
    os.chown(data / "postgres", NOBODY, NOBODY)
    embedded.start(data)
    embedded.leave(data)
    assert {path.stat().st_uid for path in (*data.iterdir(), data / "postgres" / "PG_VERSION")} == {NOBODY}


@only_root
def test_a_user_who_is_not_root_runs_the_server_as_themselves() -> None:
    """The same path through the code as on an ordinary machine."""
    user = pwd.getpwuid(NOBODY)
    script = """
import pathlib, sys, os
from bigbrotr_dagster.storage import embedded
os.umask(0)
folder = pathlib.Path(sys.argv[1])
print(embedded.start(folder))
embedded.leave(folder)
print(oct(folder.stat().st_mode), (folder / "postgres" / "PG_VERSION").stat().st_uid)
"""
    home = Path("/tmp") / f"as-nobody-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    try:
        # This environment's Python may be one that root alone can reach.
        reachable = all(folder.stat().st_mode & 1 for folder in Path(sys.executable).resolve().parents)
        python = sys.executable if reachable else "/usr/bin/python3"
        result = subprocess.run(
            [python, "-c", script, home / "data"],
            user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True,
        )  # fmt: skip
        if "Permission denied" in result.stderr and "python" in result.stderr:
            pytest.skip("this user may not enter the Python environment")
        assert result.stderr == ""
        assert result.stdout.splitlines()[1] == f"0o40700 {NOBODY}"
    finally:
        shutil.rmtree(home)
