"""The user that the embedded PostgreSQL runs as: ourselves, or for root (which it refuses) a system user.

That user need not be able to reach the data by their path: `/root/x/.bigbrotr` is behind a folder that is closed
to it, and opening that folder is not for us to do. Its programs are given the data folder as an open file, and
call it by `/proc/self/fd`: the kernel takes whoever follows such a link to the folder itself.
"""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bigbrotr_dagster.errors import CannotGoOn

SYSTEM_USER = "pgserver"

_SWITCH = """\
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""
_OPEN = Path("/proc/self/fd")


class EmbeddedUnavailable(CannotGoOn):
    """The embedded PostgreSQL cannot be used here; the message is one line that says why."""


class Place(NamedTuple):
    """What a program calls a folder, and the open files that it needs for that."""

    name: Path
    fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """A system user; `switches` when it is not the user of this process."""

    name: str
    uid: int
    gid: int
    switches: bool

    def command(self, *words: Path | str) -> list[Path | str]:
        """The command, as a process of ours has to start it to run as this user.

        subprocess has options for that, but with them it forks where it would vfork, and gRPC, which is in each of
        Dagster's processes, can kill a forked child before its program begins.
        """
        if not self.switches:
            return list(words)
        return [sys.executable, "-I", "-S", "-c", _SWITCH, str(self.uid), str(self.gid), *words]

    @contextmanager
    def place(self, folder: Path) -> Iterator["Place"]:
        """A folder of this user's, for programs of this user.

        pg_ctl hands the name that it is given to a shell, which would run what is written in it.
        """
        if not self.switches and not re.search(r'["$`\\]', str(folder)):
            yield Place(folder, ())
            return
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            yield Place(_OPEN / str(fd), (fd,))
        finally:
            os.close(fd)

    def own(self, folder: Path) -> None:
        """Give a folder of ours to this user."""
        if self.switches:
            os.chown(folder, self.uid, self.gid)


def server_account(pgdata: Path) -> ServerAccount:
    """Whoever owns the data; for data that do not exist yet this user, or `pgserver` where this is root."""
    owner = pgdata.stat().st_uid if pgdata.exists() else os.geteuid()
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise EmbeddedUnavailable(
                f"{pgdata} belongs to {_user_name(owner)}: run as that user, "
                "or choose another folder with BIGBROTR_DATA_DIR"
            )
        # No entry in /etc/passwd is looked up: a container may run under a number that has none.
        return ServerAccount(_user_name(owner), owner, os.getegid(), switches=False)
    if not _OPEN.exists():
        raise EmbeddedUnavailable("PostgreSQL refuses to run as root, and there is no /proc: run as another user")
    entry = _system_user() if owner == 0 else _entry(owner)
    return ServerAccount(entry.pw_name, entry.pw_uid, entry.pw_gid, switches=True)


def _system_user() -> pwd.struct_passwd:
    with _one_at_a_time():
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            pass
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if useradd is not None:
            shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
            command = [useradd, "--system", "--no-create-home", "--shell", shell, SYSTEM_USER]
            subprocess.run(command, check=False, capture_output=True)
    for name in (SYSTEM_USER, "nobody"):  # no useradd, or a read-only /etc
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedUnavailable("PostgreSQL refuses to run as root and there is no other system user")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two useradd at once both succeed, and the second one changes the number that the first one gave."""
    fd = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)  # a lock on it needs no file, and writes nothing
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedUnavailable(f"the data belong to uid {uid}, which has no user name") from None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
