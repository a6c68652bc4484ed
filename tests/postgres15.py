"""Debian's PostgreSQL 15: a server of the tests' own, on a unix socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.debian import program

BIN = "/usr/lib/postgresql/15/bin"


class Server:
    """A server that can be stopped and started, also in the middle of something."""

    def __init__(
        self, folder: Path, options: str = "", variables: Mapping[str, str] | None = None, listen: str = ""
    ) -> None:
        self.folder = folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._options = options
        self._variables = variables
        self._listen = listen

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        options = f"-h '{self._listen}' -k {self.folder} -c fsync=off {self._options}"
        self._pg_ctl("start", "-w", "-l", f"{self.folder}/log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self._pg_ctl("stop", "-w", "-m", mode)

    def restart(self) -> None:
        """As an operator does it: sessions are cut off."""
        self.stop()
        self.start()

    def _pg_ctl(self, action: str, *options: str) -> None:
        as_postgres([f"{BIN}/pg_ctl", action, "-D", f"{self.folder}/data", *options], self._variables)


@contextmanager
def postgres15(
    folder: Path,
    *,
    encoding: str = "UTF8",
    options: str = "",
    variables: Mapping[str, str] | None = None,
    listen: str = "",
) -> Iterator[Server]:
    """A running server below `folder`, stopped in the end, with options of postgres and an environment.

    It is on TCP too, at the address `listen`, for anybody on that network.
    """
    program(f"{BIN}/postgres", "postgresql-15")
    home = Path("/tmp") / f"pg15-{os.getpid()}-{folder.name}"  # a socket's path must be short
    home.mkdir(mode=0o755)
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    words = ["-D", f"{home}/data", "-U", "postgres", "-A", "trust", "-E", encoding, "--no-sync"]
    as_postgres([f"{BIN}/initdb", *words, *([] if encoding == "UTF8" else ["--locale=C"])])
    if listen:
        with (home / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")
    server = Server(home, options, variables, listen)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(home)


@contextmanager
def standby(primary: Server) -> Iterator[str]:
    """URL of database `postgres` on a running standby of a server."""
    data = Path(f"{primary.folder}-standby")
    from_primary = ["-h", str(primary.folder), "-U", "postgres", "-R", "-X", "stream", "-c", "fast"]
    as_postgres([f"{BIN}/pg_basebackup", "-D", str(data), *from_primary])
    control = [f"{BIN}/pg_ctl", "-D", str(data)]
    as_postgres([*control, "-w", "-l", f"{data}/log", "-o", f"-h '' -k {data}", "start"])
    try:
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        as_postgres([*control, "-w", "-m", "immediate", "stop"])
        shutil.rmtree(data)


def as_postgres(command: list[str], variables: Mapping[str, str] | None = None) -> None:
    """Run a command as the user that PostgreSQL runs as: it refuses root."""
    user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
    subprocess.run(
        command,
        check=True,
        user=user,
        cwd="/",
        env=None if variables is None else os.environ | dict(variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
