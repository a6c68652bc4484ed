"""The embedded PostgreSQL: a server of the user's own in `<data_dir>/postgres`, on a unix socket only.

Theory of operation
- Every process that called `start` holds a shared flock on `postgres.users`. The kernel drops it however the
  process ends, so a dead process is never counted; whoever leaves and can have the file to itself was last.
- `postgres.lock` is held while the server is started or stopped: a starter and the last leaver cannot cross.
"""

import atexit
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bigbrotr_dagster.storage.embedded import postgres_cluster, postgres_server, postgres_upgrade
from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable
from bigbrotr_dagster.storage.private_files import make_data_dir, open_private

__all__ = [
    "EmbeddedUnavailable",
    "ServerStatus",
    "exists",
    "leave",
    "start",
    "status",
    "stop",
    "stop_unused",
    "upgrade",
]

LOCK_SECONDS = 900
"""How long to wait while others start or stop the server: recovery may take a while."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The embedded server's process, its URL, and whether a living process of ours uses it."""

    running: bool
    pid: int | None
    url: str | None
    in_use: bool


@dataclass(frozen=True, slots=True)
class _Lease:
    pid: int
    fd: int


_leases: dict[Path, _Lease] = {}


def start(data_dir: Path) -> str:
    """URL of the server in `data_dir`, which is started when it does not run; ours until this process ends.

    Raises EmbeddedUnavailable, with one line, whatever stands in the way.
    """
    data_dir = data_dir.expanduser().resolve()
    if any(character in "\n\r" for character in str(data_dir)):
        raise EmbeddedUnavailable("PostgreSQL takes no folder with a line break in its name (BIGBROTR_DATA_DIR)")
    if os.environ.get("PGHOSTADDR"):  # libpq would go there, whatever our URL says
        raise EmbeddedUnavailable(
            "PGHOSTADDR leads to another server than the embedded one: unset it, or set BIGBROTR_DATABASE_URL"
        )
    try:
        make_data_dir(data_dir)
        with _changing(data_dir) as lock:
            _join(data_dir)
            try:
                return _url(postgres_server.ensure_running(_pgdata(data_dir), lock))
            except BaseException:
                with contextlib.suppress(OSError, EmbeddedUnavailable):  # the first error is the one to tell
                    _leave_locked(data_dir)
                raise
    except OSError as error:
        raise EmbeddedUnavailable(f"embedded PostgreSQL in {data_dir}: {error}") from error


def stop(data_dir: Path) -> bool:
    """Stop the server, whoever uses it; False when it was not running."""
    data_dir = data_dir.expanduser().resolve()
    if not data_dir.is_dir():
        return False
    try:
        with _changing(data_dir):
            _give_up_lease(data_dir)
            return postgres_server.shut_down(_pgdata(data_dir))
    except OSError as error:
        raise EmbeddedUnavailable(f"embedded PostgreSQL in {data_dir}: {error}") from error


def leave(data_dir: Path) -> None:
    """End this process's use; the last one to leave stops the server. Runs by itself at exit."""
    data_dir = data_dir.expanduser().resolve()
    if data_dir in _leases and data_dir.is_dir():
        with _changing(data_dir):
            _leave_locked(data_dir)


def exists(data_dir: Path) -> bool:
    """Whether a server was ever made in `data_dir`; nothing is started."""
    pgdata = data_dir.expanduser() / "postgres"
    if os.path.exists(pgdata / "PG_VERSION"):  # noqa: PTH110  # Path's raises
        return True
    return bool(postgres_cluster.former_data(pgdata))


def status(data_dir: Path) -> ServerStatus:
    """Look without starting anything."""
    data_dir = data_dir.expanduser().resolve()
    server = postgres_server.postmaster(_pgdata(data_dir))
    if server is None:
        return ServerStatus(running=False, pid=None, url=None, in_use=False)
    return ServerStatus(running=True, pid=server.pid, url=_url(server.socket_dir), in_use=_in_use(data_dir))


def stop_unused(data_dir: Path) -> None:
    """Stop the server if no process uses it: whoever was to stop it was killed."""
    data_dir = data_dir.expanduser().resolve()
    if data_dir.is_dir():
        with _changing(data_dir):
            if not _in_use(data_dir):
                postgres_server.shut_down(_pgdata(data_dir))


def upgrade(data_dir: Path, programs: Path | None) -> Iterator[str]:
    """Move data of an older PostgreSQL to ours, a line for each step; `programs` is the older one's folder.

    Raises EmbeddedUnavailable, with one line, whatever stands in the way; the data are as they were then.
    """
    data_dir = data_dir.expanduser().resolve()
    if not data_dir.is_dir():
        raise EmbeddedUnavailable(f"there is no {data_dir}")
    try:
        with _changing(data_dir) as lock:
            if _in_use(data_dir):
                raise EmbeddedUnavailable(f"other processes use {data_dir}: stop them first")
            yield from postgres_upgrade.move_data(_pgdata(data_dir), programs, lock)
    except OSError as error:
        raise EmbeddedUnavailable(f"embedded PostgreSQL in {data_dir}: {error}") from error


def _pgdata(data_dir: Path) -> Path:
    return (data_dir / "postgres").resolve()  # it may be a link to another disk


@contextlib.contextmanager
def _changing(data_dir: Path) -> Iterator[int]:
    fd = open_private(data_dir / "postgres.lock", os.O_RDONLY)
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise EmbeddedUnavailable(
                    f"another process has held {data_dir / 'postgres.lock'} for {LOCK_SECONDS} s"
                )
            time.sleep(0.05)
        yield fd
    finally:
        os.close(fd)


def _join(data_dir: Path) -> None:
    lease = _leases.get(data_dir)
    if lease is not None and lease.pid == os.getpid():
        return  # a forked child shares its parent's lock, so it takes one of its own
    fd = open_private(data_dir / "postgres.users", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    if not _leases:
        atexit.register(_leave_all)
    _leases[data_dir] = _Lease(os.getpid(), fd)


def _give_up_lease(data_dir: Path) -> bool:
    lease = _leases.pop(data_dir, None)
    if lease is None:
        return False
    os.close(lease.fd)
    return lease.pid == os.getpid()


def _leave_locked(data_dir: Path) -> None:
    if _give_up_lease(data_dir) and not _in_use(data_dir):
        postgres_server.shut_down(_pgdata(data_dir))


def _leave_all() -> None:
    for data_dir in list(_leases):
        try:
            leave(data_dir)
        except (OSError, EmbeddedUnavailable) as error:
            log.warning("embedded PostgreSQL in %s is left running: %s", data_dir, error)


def _in_use(data_dir: Path) -> bool:
    fd = open_private(data_dir / "postgres.users", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _url(socket_dir: Path) -> str:
    return f"postgresql://postgres@/bigbrotr?host={quote(str(socket_dir))}&port={postgres_server.PORT}"
