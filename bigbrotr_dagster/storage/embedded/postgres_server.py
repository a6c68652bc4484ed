"""Start and stop of the embedded PostgreSQL server in one data folder."""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo

from bigbrotr_dagster.storage.embedded.postgres_cluster import ensure_cluster
from bigbrotr_dagster.storage.embedded.postgres_programs import programs_for, reason, run_program
from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable, ServerAccount, server_account
from bigbrotr_dagster.storage.private_files import FOLDER_MODE, close_to_others

START_SECONDS = 300  # recovery after a crash may have max_wal_size of WAL to replay
STOP_SECONDS = 30
PING_SECONDS = 2  # libpq's least
PORT = 5432
SOCKET_PATH_BYTES = 103  # the shortest limit of the systems that the binaries exist for (macOS)
LOG_BYTES = 16 * 1024 * 1024
STARTERS = ("postgres", "pg_ctl", "initdb", "sh", "python")
STILL_THERE = "pre-existing shared memory block"  # as PostgreSQL says it


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A server that answers on its socket; `ready` when it takes queries."""

    pid: int
    socket_dir: Path
    ready: bool


def postmaster(pgdata: Path) -> Postmaster | None:
    """The server that answers on the socket named in postmaster.pid; a left-over file names none."""
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise EmbeddedUnavailable(f"{pgdata} belongs to another user") from None
    if len(lines) < 6 or not lines[0].strip().isdigit():
        return None
    socket_dir = pgdata / lines[4].strip()  # its own name for the data folder is "."
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_dir / f".s.PGSQL.{lines[3].strip()}"))
        except OSError:
            return None
    return Postmaster(int(lines[0]), socket_dir, ready=len(lines) > 7 and lines[7].strip() == "ready")


def ensure_running(pgdata: Path, lock: int) -> Path:
    """Folder of the socket of the server, which is made and started as needed. The caller holds file `lock`."""
    account = server_account(pgdata)
    if (running := _await_server(pgdata)) is not None:
        return running.socket_dir
    _forget_dead_postmaster(pgdata)
    programs = programs_for(account)
    ensure_cluster(programs, pgdata, account, lock)
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        try:
            return launch(programs, pgdata, account)
        except EmbeddedUnavailable as failure:
            # Whoever was killed while it started the server may have left pg_ctl at work, which was faster.
            if (running := _await_server(pgdata)) is not None:
                return running.socket_dir
            # Or a program of PostgreSQL's that was told to end, and has not let go of its memory yet.
            if STILL_THERE not in str(failure) or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _await_server(pgdata: Path) -> Postmaster | None:
    """The server once it takes queries; None where nothing of it runs.

    One that was killed leaves processes that end within moments, and a socket that the kernel still connects to;
    one that another process had begun to start does not listen yet.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        server = postmaster(pgdata)
        if server is not None and server.ready and _answers(server):
            return server
        # Twice: one that is killed while we look may have started another, which the first look did not list.
        if server is None and not has_processes(pgdata) and not has_processes(pgdata):
            return None
        if time.monotonic() > deadline:
            raise EmbeddedUnavailable(f"the PostgreSQL in {pgdata} is not ready after {START_SECONDS} s")
        time.sleep(0.1)


def _answers(server: Postmaster) -> bool:
    """Whether the server is alive: it takes a session.

    What the environment says of another server must not make this one look dead. Where libpq does not even try
    (PGSERVICE, PGSSLMODE), the session that comes next will say why.
    """
    session = make_conninfo(
        host=str(server.socket_dir),
        port=PORT,
        user="postgres",
        dbname="postgres",
        connect_timeout=PING_SECONDS,
        hostaddr="",
        requirepeer="",
        gssencmode="disable",
    )
    return pq.PGconn.ping(session.encode()) in (pq.Ping.OK, pq.Ping.NO_ATTEMPT)


def _forget_dead_postmaster(pgdata: Path) -> None:
    """Remove the lock files of a killed postmaster, of which nothing runs.

    Its number may live on as a zombie or, in a restarted container, as another program, and PostgreSQL would
    refuse to start.
    """
    left_over = pgdata / "postmaster.pid"
    if not left_over.exists() or not Path("/proc/self/cwd").exists():
        return
    lines = left_over.read_text().splitlines()
    if lines and _leads_to(Path("/proc", lines[0].strip(), "cwd"), pgdata):
        return  # it has just begun, and lives
    if len(lines) > 4:
        (pgdata / lines[4].strip() / f".s.PGSQL.{lines[3].strip()}.lock").unlink(missing_ok=True)
    left_over.unlink()


def has_processes(pgdata: Path) -> bool:
    """Whether one of PostgreSQL's programs runs here, or is about to.

    It stands in the data folder; until then, those that start it have the descriptor that `launch` gave them.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, is a zombie, or is another user's
            if process.name == str(os.getpid()) or not (process / "comm").read_text().startswith(STARTERS):
                continue
            if any(_leads_to(link, pgdata) for link in (process / "cwd", *(process / "fd").iterdir())):
                return True
    return False


def _leads_to(link: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):  # that descriptor was closed meanwhile: pg_ctl looks at files all the time
        return link.readlink() == folder
    return False


def launch(programs: Path, pgdata: Path, account: ServerAccount) -> Path:
    """Start the server, which does not run; returns the folder of its socket."""
    server_log = pgdata / "server.log"
    if server_log.exists() and server_log.stat().st_size > LOG_BYTES:
        server_log.replace(pgdata / "server.log.1")
    socket_dir = _socket_dir(pgdata, account)
    # The server makes its socket from inside the data folder; by the path it may not be able to.
    named = "." if account.switches and socket_dir == pgdata else socket_dir
    options = f"-c unix_socket_directories='{named}' -c port={PORT}"
    with account.place(pgdata) as place:
        words = (
            "-D",
            place.name,
            "-l",
            place.name / server_log.name,
            "-w",
            "-t",
            str(START_SECONDS),
            "-o",
            options,
        )
        result = _pg_ctl(programs, "start", *words, account=account, seconds=START_SECONDS, fds=place.fds)
    if result.returncode:
        logged = server_log.read_text(errors="replace")[-4000:] if server_log.exists() else ""
        why = f"{reason(logged or result.stdout)} (log: {server_log})"
        raise EmbeddedUnavailable(f"PostgreSQL does not start in {pgdata}: {why}")
    return socket_dir


def shut_down(pgdata: Path, programs: Path | None = None) -> bool:
    """Stop the server; False when it was not running. The caller holds the lock."""
    server = postmaster(pgdata)
    if server is None:
        return False
    account = server_account(pgdata)
    programs = programs or programs_for(account)
    for mode in ("fast", "immediate"):  # immediate is a crash, which PostgreSQL recovers from
        with account.place(pgdata) as place:
            words = ("-D", place.name, "-m", mode, "-w", "-t", str(STOP_SECONDS))
            result = _pg_ctl(programs, "stop", *words, account=account, seconds=STOP_SECONDS, fds=place.fds)
        if result.returncode == 0:
            if server.socket_dir != pgdata:
                with contextlib.suppress(OSError):  # it is not empty
                    server.socket_dir.rmdir()
            return True
    raise EmbeddedUnavailable(f"PostgreSQL does not stop in {pgdata}: {reason(result.stdout)}")


def _pg_ctl(
    programs: Path, *words: Path | str, account: ServerAccount, seconds: float, fds: tuple[int, ...]
) -> "subprocess.CompletedProcess[str]":
    return run_program(programs / "pg_ctl", *words, account=account, seconds=seconds + 10, fds=fds)


def _socket_dir(pgdata: Path, account: ServerAccount) -> Path:
    # A comma ends a folder in PostgreSQL's list, and pg_ctl hands its options to a shell.
    plain = re.fullmatch(r"[\w@%+=:./ -]+", str(pgdata)) is not None
    if plain and len(os.fsencode(pgdata / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES:
        return pgdata
    name = sha256(os.fsencode(pgdata)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"embedded-postgres-{account.uid}-{name}"
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if folder.stat().st_uid not in (os.geteuid(), account.uid) or folder.is_symlink():
        raise EmbeddedUnavailable(f"{folder} belongs to another user: remove it or shorten BIGBROTR_DATA_DIR")
    close_to_others(folder)
    account.own(folder)
    return folder
