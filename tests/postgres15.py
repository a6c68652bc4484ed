"""Debian's PostgreSQL 15: a server of the tests' own, on a unix socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import program

BIN = "/usr/lib/postgresql/15/bin"


class Server:
    """A server that can be stopped and started, also in the middle of something."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    def start(self) -> None:
        self._pg_ctl("start", "-w", "-l", f"{self._folder}/log", "-o", f"-h '' -k {self._folder} -c fsync=off")

    def stop(self, mode: str = "fast") -> None:
        self._pg_ctl("stop", "-w", "-m", mode)

    def restart(self) -> None:
        """As an operator does it: sessions are cut off."""
        self.stop()
        self.start()

    def _pg_ctl(self, action: str, *options: str) -> None:
        _as_postgres([f"{BIN}/pg_ctl", action, "-D", f"{self._folder}/data", *options])


@contextmanager
def postgres15(folder: Path) -> Iterator[Server]:
    """A running server below `folder`, stopped in the end."""
    program(f"{BIN}/postgres", "postgresql-15")
    home = Path("/tmp") / f"pg15-{os.getpid()}-{folder.name}"  # a socket's path must be short
    home.mkdir(mode=0o755)
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    _as_postgres(
        [f"{BIN}/initdb", "-D", f"{home}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    )
    server = Server(home)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(home)


def _as_postgres(command: list[str]) -> None:
    """PostgreSQL refuses to run as root."""
    user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
    subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
