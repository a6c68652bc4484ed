"""The user that the embedded PostgreSQL runs as: ourselves, or for root (which it refuses) a system user."""

import logging
import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SYSTEM_USER = "pgserver"

_SWITCH = """\
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""


class EmbeddedUnavailable(Exception):
    """The embedded PostgreSQL cannot be used here; the message is one line that says why."""


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
    entry = _system_user() if owner == 0 else _entry(owner)
    return ServerAccount(entry.pw_name, entry.pw_uid, entry.pw_gid, switches=True)


def let_enter(path: Path, account: ServerAccount) -> None:
    """Make every folder above `path` passable for `account`: x only, so that nobody more may list it.

    Raises EmbeddedUnavailable where the permissions cannot be changed.
    """
    for folder in reversed(path.parents):
        mode = folder.stat()
        if _may_enter(mode, account):
            continue
        log.warning("letting system user %s pass through %s (chmod o+x)", account.name, folder)
        try:
            folder.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXOTH)
        except OSError as error:
            raise EmbeddedUnavailable(
                f"PostgreSQL refuses to run as root, and user {account.name} may not enter {folder} "
                f"({error.strerror}): choose another folder with BIGBROTR_DATA_DIR"
            ) from error


def let_read(folder: Path) -> None:
    """Make PostgreSQL's programs readable where a strict umask installed them for root alone."""
    if folder.stat().st_mode & stat.S_IROTH and (folder / "bin" / "postgres").stat().st_mode & stat.S_IROTH:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            executable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
            path.chmod(mode | stat.S_IROTH | executable)


def _may_enter(folder: os.stat_result, account: ServerAccount) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _system_user() -> pwd.struct_passwd:
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
