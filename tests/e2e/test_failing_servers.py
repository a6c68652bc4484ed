"""A server that fails or refuses is one line that says what and what to do; nothing is lost, and nothing hangs."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from bigbrotr_dagster.storage.pool import ensure_database
from tests.conftest import in_database
from tests.debian import cannot_be_had
from tests.e2e.events import write_events
from tests.e2e.program import Result, run, start
from tests.pgbouncer import pgbouncer
from tests.postgres15 import Server, postgres15, standby
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask, tell

EVENTS = 20_000
NOBODY = ["sync", "--once", "--relay", "ws://127.0.0.1:9", "--allow-private"]
ADD = ["relays", "add", "wss://a.example.com"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgres15(tmp_path_factory.mktemp("failing"), options="-c max_connections=30") as running:
        yield running


@pytest.fixture
def archive(server: Server) -> Iterator[str]:
    """URL of an empty archive."""
    url = in_database(server.url, "archive")
    ensure_database(url)
    yield url
    with psycopg.connect(server.url, autocommit=True) as connection:
        for name in ("archive", "archive_dagster"):
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("relay") / "events.jsonl"
    write_events(path, EVENTS)
    with LocalRelayProcess(path) as process:
        yield process.url


def assert_one_line(result: Result | tuple[int, str], *words: str) -> None:
    code, err = (result.code, result.stderr) if isinstance(result, Result) else result
    [line] = err.splitlines()
    assert line.startswith("bigbrotr-dagster: "), line
    assert code == 1
    for word in words:
        assert word in line


def refused(home: Path, url: str, arguments: Sequence[str], *words: str) -> None:
    """The command does nothing, and says one line that holds `words`."""
    result = run(home, *arguments, timeout=300, BIGBROTR_DATABASE_URL=url)
    assert result.stdout == ""
    assert_one_line(result, *words)


@pytest.mark.parametrize("free", [0, 1, 2, 3, 5])
def test_too_few_connection_slots(server: Server, archive: str, tmp_path: Path, free: int) -> None:
    held: list[psycopg.Connection] = []
    try:
        with pytest.raises(psycopg.OperationalError):
            while True:
                held.append(psycopg.connect(server.url))
        for _ in range(free):
            held.pop().close()
        result = run(tmp_path, *NOBODY, timeout=300, BIGBROTR_DATABASE_URL=archive)
        if "connection refused" in result.stderr and free > 3:
            return  # these were enough
        assert_one_line(result, "no connection is free: raise max_connections")
    finally:
        for connection in held:
            connection.close()


@contextmanager
def under_way(home: Path, url: str, relay: str) -> Iterator["subprocess.Popen[str]"]:
    """A sync that has stored some of a relay's events."""
    process = start(home, "sync", "--once", "--relay", relay, "--allow-private", BIGBROTR_DATABASE_URL=url)
    try:
        deadline = time.monotonic() + 120
        while ask(url, "SELECT count(*) FROM (SELECT FROM event LIMIT 1000) AS some") != [(1000,)]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_is_killed_under_a_sync(relay: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("killed")
    with postgres15(tmp_path_factory.mktemp("mortal")) as server:
        url = in_database(server.url, "archive")
        ensure_database(url)
        with under_way(home, url, relay) as process:
            postmaster = psutil.Process(server.pid)
            for one in (postmaster, *postmaster.children()):
                one.kill()
            _, err = process.communicate(timeout=400)
            assert_one_line(
                (process.returncode, err), "PostgreSQL at ", "does BIGBROTR_DATABASE_URL name a running"
            )
        server.start()
        result = run(home, "sync", "--once", "--relay", relay, "--allow-private", BIGBROTR_DATABASE_URL=url)
        assert (result.code, result.stderr) == (0, "")
        assert ask(url, "SELECT count(*) FROM event") == [(EVENTS,)]


def test_a_server_that_crashes_under_a_sync_and_recovers_is_not_even_a_line(
    archive: str, relay: str, tmp_path: Path
) -> None:
    with under_way(tmp_path, archive, relay) as process:
        [(pid,)] = ask(
            archive, "SELECT pid FROM pg_stat_activity WHERE application_name = 'bigbrotr-dagster' LIMIT 1"
        )
        os.kill(pid, signal.SIGKILL)  # the postmaster ends all sessions then
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with room for 20 MB."""
    if os.geteuid() != 0:
        cannot_be_had("only root can mount a small disk")
    folder = Path("/tmp") / f"small-{os.getpid()}"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m,mode=777", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")  # a container without CAP_SYS_ADMIN
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk(small_disk: Path, relay: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("full")
    arguments = ["sync", "--once", "--relay", relay, "--allow-private"]
    with postgres15(tmp_path_factory.mktemp("full-server")) as server:
        space = small_disk / "space"
        space.mkdir(mode=0o700)
        shutil.chown(space, "postgres")
        tell(server.url, f"CREATE TABLESPACE small LOCATION '{space}'")
        tell(server.url, "CREATE DATABASE archive TABLESPACE small ENCODING 'UTF8' TEMPLATE template0")
        url = in_database(server.url, "archive")
        refused(home, url, arguments, "No space left on device; the server's disk is full: make room")
        [(stored,)] = ask(url, "SELECT count(*) FROM event")
        claimed = "SELECT count(*) FROM event JOIN sync_coverage ON covered @> created_at"
        assert ask(url, claimed)[0][0] <= stored < EVENTS
        assert run(home, "cursors", "show", BIGBROTR_DATABASE_URL=url).code == 0
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        result = run(home, *arguments, BIGBROTR_DATABASE_URL=url)
        assert (result.code, result.stderr) == (0, "")
        assert ask(url, "SELECT count(*) FROM event") == [(EVENTS,)]
        tell(server.url, "DROP DATABASE archive WITH (FORCE)")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused_and_keeps_no_lock(
    server: Server, archive: str, tmp_path: Path, mode: str
) -> None:
    with pgbouncer(tmp_path, server.folder, mode) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/archive"
        for arguments in (NOBODY, ["cursors", "show"], ["db", "migrate"]):
            refused(tmp_path, url, arguments, "a pooler at 127.0.0.1", "set its pool_mode to session")
        assert ask(archive, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        with psycopg.connect(url, autocommit=True) as other:  # on a session that was ours: nothing stays set
            assert other.execute("SELECT current_setting('search_path')").fetchone() == ('"$user", public',)


def test_a_pooler_in_session_mode_works(server: Server, archive: str, relay: str, tmp_path: Path) -> None:
    with pgbouncer(tmp_path, server.folder, "session") as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/archive"
        command = ["sync", "--once", "--relay", relay, "--allow-private"]
        result = run(tmp_path, *command, BIGBROTR_DATABASE_URL=url)
        assert (result.code, result.stderr) == (0, "")
        assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]
        made = run(tmp_path, *ADD, BIGBROTR_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{port}/not_there_yet")
        assert (made.code, made.stdout) == (0, "1 added\n")
    tell(server.url, "DROP DATABASE not_there_yet WITH (FORCE)")


READS = [
    ["relays", "list"],
    ["cursors", "show"],
    ["cursors", "reset", "wss://a.example.com", "--dry-run"],
    ["gaps", "list"],
    ["quarantine", "list"],
    ["quarantine", "list", "--count"],
    ["db", "url"],
    ["db", "psql", "-c", "SELECT 1"],
]
WRITES = [
    NOBODY,
    ADD,
    ["relays", "remove", "wss://a.example.com"],
    ["cursors", "reset", "wss://a.example.com"],
    ["gaps", "retry", "wss://a.example.com"],
    ["quarantine", "replay"],
]


@pytest.mark.parametrize("kind", ["standby", "read-only database", "read-only role"])
def test_what_cannot_be_written_to_can_be_read(server: Server, archive: str, tmp_path: Path, kind: str) -> None:
    tell(archive, "INSERT INTO relay VALUES ('wss://a.example.com', 'clearnet', 0)")
    with standby(server) if kind == "standby" else _made_read_only(archive, kind) as url:
        for arguments in READS:
            result = run(tmp_path, *arguments, BIGBROTR_DATABASE_URL=in_database(url, "archive"))
            assert (result.code, result.stderr) == (0, ""), arguments
        for arguments in WRITES:
            refused(
                tmp_path, in_database(url, "archive"), arguments, "nothing can be written there", "the primary"
            )


@contextmanager
def _made_read_only(archive: str, kind: str) -> Iterator[str]:
    whom = "DATABASE archive" if kind == "read-only database" else "ROLE postgres IN DATABASE archive"
    tell(archive, f"ALTER {whom} SET default_transaction_read_only = on")
    try:
        yield archive
    finally:
        tell(in_database(archive, "postgres"), f"ALTER {whom} RESET default_transaction_read_only")


def test_a_role_without_rights_is_told_what_it_lacks(server: Server, archive: str, tmp_path: Path) -> None:
    tell(server.url, "CREATE ROLE poor LOGIN")
    tell(server.url, "CREATE DATABASE empty")
    try:
        url = archive.replace("postgres@", "poor@")
        create = 'CREATE DATABASE "never" ENCODING \'UTF8\' TEMPLATE template0 OWNER "poor"'
        refused(tmp_path, in_database(url, "never"), NOBODY, f"let an administrator do it: {create}")
        refused(
            tmp_path, in_database(url, "never"), ["cursors", "show"], "never does not exist: `bigbrotr-dagster db"
        )
        refused(tmp_path, in_database(url, "empty"), NOBODY, "schema public", "let the role own the database")
        refused(tmp_path, url, ["cursors", "show"], "permission denied for table", "or grant it")
        tell(archive, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor")
        assert run(tmp_path, "cursors", "show", BIGBROTR_DATABASE_URL=url).code == 0
        refused(tmp_path, url, ADD, "permission denied for table relay", "or grant it what is missing")
        tell(archive, "GRANT ALL ON ALL TABLES IN SCHEMA public TO poor")
        refused(tmp_path, url, NOBODY, 'CREATE DATABASE "archive_dagster"', 'OWNER "poor"')
    finally:
        tell(archive, "DROP OWNED BY poor")
        tell(server.url, "DROP ROLE poor")
        tell(server.url, "DROP DATABASE empty")


def test_nothing_is_made_by_a_mere_look(server: Server, tmp_path: Path) -> None:
    for arguments in (*READS, ["metrics"]):
        assert_one_line(run(tmp_path, *arguments), "there is no archive in ", "`db migrate` makes one")
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr"}
    for arguments in READS:
        refused(tmp_path, in_database(server.url, "not_there"), arguments, "not_there does not exist")
    tell(server.url, "CREATE DATABASE bare")
    refused(
        tmp_path, in_database(server.url, "bare"), ["cursors", "show"], "bare holds no archive yet: `bigbrotr-"
    )
    assert ask(in_database(server.url, "bare"), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [
        (0,)
    ]
    ensure_database(in_database(server.url, "bare"))
    tell(in_database(server.url, "bare"), "DELETE FROM schema_migration WHERE version > 8")
    refused(
        tmp_path, in_database(server.url, "bare"), ["cursors", "show"], "has an older schema than this program"
    )
    tell(server.url, "DROP DATABASE bare WITH (FORCE)")


@pytest.mark.parametrize(
    "name", ["it's", "$(touch owned)", "`touch owned`", 'quo"te', "a,b", "back\\slash", "; x", "ü"]
)
def test_a_data_folder_of_any_name(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o777)  # so that whatever runs there could leave a mark
    folder = tmp_path / name
    assert run(tmp_path, *ADD, BIGBROTR_DATA_DIR=str(folder)).stdout == "1 added\n"
    assert (
        run(tmp_path, "relays", "list", BIGBROTR_DATA_DIR=str(folder)).stdout == "clearnet\twss://a.example.com\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr", name}
    assert not list(folder.rglob("owned"))


def test_several_servers_in_one_url(server: Server, archive: str, relay: str, tmp_path: Path) -> None:
    """As libpq has it: the first that answers, and takes what is written, is used; Dagster's database is there, too."""
    with standby(server) as second, pgbouncer(tmp_path, server.folder, "session") as port:
        read_only = second.partition("host=")[2]
        hosts = f"host=127.0.0.1,{read_only},127.0.0.1&port=9,5432,{port}"
        url = f"postgresql://postgres@/archive?{hosts}&target_session_attrs=read-write"
        command = ["sync", "--once", "--relay", relay, "--allow-private"]
        result = run(tmp_path, *command, BIGBROTR_DATABASE_URL=url)
        assert (result.code, result.stderr) == (0, "")
        in_front = f"postgresql://postgres@127.0.0.1:9,127.0.0.1:{port}/archive?options=-cwork_mem%3D8MB"
        listed = run(tmp_path, "cursors", "show", BIGBROTR_DATABASE_URL=in_front.partition("?")[0])
        assert f"{relay}\t" in listed.stdout
    assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]
    assert ask(in_database(archive, "archive_dagster"), "SELECT count(*) FROM dynamic_partitions") == [(1,)]
