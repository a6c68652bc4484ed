"""A server that fails or refuses is one line that says what and what to do; nothing is lost, and nothing hangs."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database
from tests.debian import cannot_be_had
from tests.e2e.commands import Commands, assert_one_line
from tests.e2e.events import write_events
from tests.e2e.program import run, start
from tests.killing import kill_each
from tests.pgbouncer import pgbouncer
from tests.postgres15 import Server, postgres15, standby
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask, tell

pytestmark = pytest.mark.slow

EVENTS = 20_000
CONNECTIONS = 30
"""That the server takes in all."""

NOBODY = ["sync", "--once", "--relay", "ws://127.0.0.1:47999", "--allow-private"]
ADD = ["relays", "add", "wss://a.example.com"]
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
OUR_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


def sync(relay: str) -> list[str]:
    return ["sync", "--once", "--relay", relay, "--allow-private"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = f"-c max_connections={CONNECTIONS}"
    with postgres15(tmp_path_factory.mktemp("failing"), options=options) as running:
        yield running


@pytest.fixture
def archive(server: Server) -> Iterator[str]:
    """URL of an empty archive."""
    url = in_database(server.url, "archive")
    ensure_database(url)
    yield url
    for name in ("archive", "archive_dagster"):
        tell(server.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("relay") / "events.jsonl"
    write_events(path, EVENTS)
    with LocalRelayProcess(path) as process:
        yield process.url


@pytest.mark.parametrize("free", [0, 1, 2, 3])
def test_too_few_connection_slots(server: Server, archive: str, commands: Commands, free: int) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS - free):
            held.enter_context(closing(psycopg.connect(server.url)))
        commands.refused(archive, NOBODY, "no connection is free: raise max_connections")


@contextmanager
def under_way(home: Path, url: str, relay: str) -> Iterator["subprocess.Popen[str]"]:
    """A sync that has stored some of a relay's events."""
    process = start(home, *sync(relay), BIGBROTR_DATABASE_URL=url)
    try:
        deadline = time.monotonic() + 120
        while ask(url, "SELECT count(*) FROM (SELECT FROM event LIMIT 1000) AS stored") != [(1000,)]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_is_killed_under_a_sync(
    relay: str, commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with postgres15(tmp_path_factory.mktemp("mortal")) as server:
        url = in_database(server.url, "archive")
        ensure_database(url)
        with under_way(commands.home, url, relay) as process:
            postmaster = psutil.Process(server.pid)
            kill_each((postmaster, *postmaster.children()))
            _, err = process.communicate(timeout=400)
            words = "PostgreSQL at ", "does BIGBROTR_DATABASE_URL name a running server?"
            assert_one_line(process.returncode, err, *words)
        server.start()
        commands.done(url, sync(relay))
        assert ask(url, "SELECT count(*) FROM event") == [(EVENTS,)]


def test_a_server_that_crashes_under_a_sync_and_recovers_is_not_even_a_line(
    archive: str, relay: str, tmp_path: Path
) -> None:
    with under_way(tmp_path, archive, relay) as process:
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'bigbrotr-dagster' LIMIT 1"
        [(pid,)] = ask(archive, ours)
        os.kill(pid, signal.SIGKILL)  # the postmaster ends all sessions then
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder with room for 20 MB."""
    if os.geteuid() != 0:
        cannot_be_had("only root can mount a small disk")
    folder = Path("/tmp") / f"small-{os.getpid()}"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m,mode=777", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")  # a container without CAP_SYS_ADMIN
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk(
    small_disk: Path, relay: str, commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with postgres15(tmp_path_factory.mktemp("full")) as server:
        space = small_disk / "space"
        space.mkdir(mode=0o700)
        shutil.chown(space, "postgres")
        tell(server.url, f"CREATE TABLESPACE small LOCATION '{space}'")
        tell(server.url, "CREATE DATABASE archive TABLESPACE small ENCODING 'UTF8' TEMPLATE template0")
        url = in_database(server.url, "archive")
        commands.refused(url, sync(relay), "No space left on device; the server's disk is full: make room")
        [(stored,)] = ask(url, "SELECT count(*) FROM event")
        assert 0 < stored < EVENTS
        commands.done(url, ["cursors", "show"])
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        commands.done(url, sync(relay))
        assert ask(url, "SELECT count(*) FROM event") == [(EVENTS,)]
        tell(server.url, "DROP DATABASE archive WITH (FORCE)")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused_and_keeps_no_lock(
    server: Server, archive: str, commands: Commands, mode: str
) -> None:
    with pgbouncer(commands.home, server.folder, mode) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/archive"
        for arguments in (NOBODY, ["cursors", "show"], ["db", "migrate"]):
            commands.refused(url, arguments, "a pooler at 127.0.0.1", "set its pool_mode to session")
        assert ask(archive, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        with psycopg.connect(url, autocommit=True) as other:  # on a session that was ours: nothing stays set
            assert other.execute("SELECT current_setting('search_path')").fetchone() == ('"$user", public',)


def test_a_pooler_in_session_mode_works(server: Server, archive: str, relay: str, commands: Commands) -> None:
    with pgbouncer(commands.home, server.folder, "session") as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/archive"
        commands.done(url, sync(relay))
        assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]
        assert commands.done(f"postgresql://postgres@127.0.0.1:{port}/not_there_yet", ADD) == "1 added\n"
    tell(server.url, "DROP DATABASE not_there_yet WITH (FORCE)")


@pytest.mark.parametrize("kind", ["standby", "read-only database", "read-only role"])
def test_what_cannot_be_written_to_can_be_read(
    server: Server, archive: str, commands: Commands, kind: str
) -> None:
    tell(archive, "INSERT INTO relay VALUES ('wss://a.example.com', 'clearnet', 0)")
    with standby(server) if kind == "standby" else _made_read_only(archive, kind) as url:
        url = in_database(url, "archive")
        for arguments in READS:
            commands.done(url, arguments)
        for arguments in WRITES:
            commands.refused(url, arguments, "nothing can be written there", "name the primary")


@contextmanager
def _made_read_only(archive: str, kind: str) -> Iterator[str]:
    whom = "DATABASE archive" if kind == "read-only database" else "ROLE postgres IN DATABASE archive"
    tell(archive, f"ALTER {whom} SET default_transaction_read_only = on")
    try:
        yield archive
    finally:
        tell(in_database(archive, "postgres"), f"ALTER {whom} RESET default_transaction_read_only")


def test_a_role_without_rights_is_told_what_it_lacks(server: Server, archive: str, commands: Commands) -> None:
    tell(server.url, "CREATE ROLE poor LOGIN")
    tell(server.url, "CREATE DATABASE empty")
    try:
        url = archive.replace("postgres@", "poor@")
        never, empty = in_database(url, "never"), in_database(url, "empty")
        create = 'CREATE DATABASE "never" ENCODING \'UTF8\' TEMPLATE template0 OWNER "poor"'
        commands.refused(never, ADD, f"let an administrator do it: {create}")
        commands.refused(never, ["cursors", "show"], "never does not exist: `bigbrotr-dagster db migrate`")
        commands.refused(empty, ADD, "permission denied for schema public; let the role own the database")
        commands.refused(url, ["cursors", "show"], "permission denied for table", "or grant it")
        tell(archive, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor")
        commands.done(url, ["cursors", "show"])
        commands.refused(url, ADD, "permission denied for table relay", "or grant it what is missing")
        tell(archive, "GRANT ALL ON ALL TABLES IN SCHEMA public TO poor")
        commands.refused(url, NOBODY, 'CREATE DATABASE "archive_dagster"', 'OWNER "poor"')
    finally:
        tell(archive, "DROP OWNED BY poor")
        tell(server.url, "DROP ROLE poor")
        tell(server.url, "DROP DATABASE empty")


def test_nothing_is_made_by_a_mere_look(server: Server, commands: Commands) -> None:
    for arguments in (*READS, ["metrics"]):
        commands.refused(None, arguments, "there is no archive in ", "`db migrate` makes one")
    assert list(commands.home.iterdir()) == []
    for arguments in READS:
        commands.refused(in_database(server.url, "not_there"), arguments, "not_there does not exist")
    tell(server.url, "CREATE DATABASE bare")
    url = in_database(server.url, "bare")
    commands.refused(url, ["cursors", "show"], "bare holds no archive yet: `bigbrotr-dagster db migrate`")
    assert ask(url, OUR_TABLES) == [(0,)]
    ensure_database(url)
    tell(url, "DELETE FROM schema_migration WHERE version > 8")
    commands.refused(url, ["cursors", "show"], "bare has an older schema than this program: `bigbrotr-dagster db")
    tell(server.url, "DROP DATABASE bare WITH (FORCE)")


NAMES = ["it's", "$(touch owned)", "`touch owned`", 'quo"te', "a,b", "back\\slash", "; x", "ü"]


@pytest.mark.parametrize("name", NAMES)
def test_a_data_folder_of_any_name(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o777)  # so that whatever runs there could leave a mark
    folder = tmp_path / name
    assert run(tmp_path, *ADD, BIGBROTR_DATA_DIR=str(folder)).stdout == "1 added\n"
    listed = run(tmp_path, "relays", "list", BIGBROTR_DATA_DIR=str(folder))
    assert listed.stdout == "clearnet\twss://a.example.com\n"
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr", name}
    assert not list(folder.rglob("owned"))


def test_a_data_folder_with_a_line_break_is_refused(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBROTR_DATA_DIR", "two\nlines")
    commands.refused(None, ADD, "PostgreSQL takes no folder with a line break in its name")


def test_what_a_shell_says_of_another_server_keeps_nobody_from_the_embedded_one(tmp_path: Path) -> None:
    others = {
        "PGPORT": "6543",
        "PGHOSTADDR": "127.0.0.9",
        "PGSERVICE": "none",
        "PGREQUIREPEER": "nobody",
        "PGCHANNELBINDING": "require",
        "PGGSSENCMODE": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGOPTIONS": "-c nothing=1",
        "PGTZ": "nowhere",
    }
    assert run(tmp_path, *ADD, **others).stdout == "1 added\n"
    assert run(tmp_path, "relays", "list", **others).stdout == "clearnet\twss://a.example.com\n"


def test_several_servers_in_one_url(server: Server, archive: str, relay: str, commands: Commands) -> None:
    """As libpq has it: the first that answers, and can be written to, is used; by Dagster, too."""
    with standby(server) as second, pgbouncer(commands.home, server.folder, "session") as port:
        read_only = second.partition("host=")[2]
        hosts = f"host=127.0.0.1,{read_only},127.0.0.1&port=9,5432,{port}"
        commands.done(f"postgresql://postgres@/archive?{hosts}&target_session_attrs=read-write", sync(relay))
        in_front = f"postgresql://postgres@127.0.0.1:9,127.0.0.1:{port}/archive"
        assert f"{relay}\t" in commands.done(in_front, ["cursors", "show"])
    assert ask(archive, "SELECT count(*) FROM event") == [(EVENTS,)]
    assert ask(in_database(archive, "archive_dagster"), "SELECT count(*) FROM dynamic_partitions") == [(1,)]
    with_options = f"{archive}&options=-cwork_mem%3D8MB%20-csearch_path%3Dnowhere"
    assert f"{relay}\t" in commands.done(with_options, ["cursors", "show"])
