"""The embedded server's data folder: made whole or not at all, and of the version that our programs read.

initdb can be killed at any moment. It works in a folder of another name, which becomes `postgres` when it is done;
what an initdb that was killed has left is removed. The caller holds `postgres.lock`, and initdb holds it as well,
until it ends: nobody meets one that outlived who started it.
"""

import logging
import os
import secrets
import shutil
import time
from pathlib import Path

from bigbrotr_dagster.storage.embedded.postgres_programs import MAJOR, reason, run_program
from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable, ServerAccount
from bigbrotr_dagster.storage.private_files import FOLDER_MODE

log = logging.getLogger(__name__)

INITDB_SECONDS = 300
INITDB_MAKES = (
    *("PG_VERSION", "base", "global", "postgresql.conf", "postgresql.auto.conf", "postmaster.pid"),
    "server.log",  # of a server that could not start
)
"""Names in a data folder that no server has run on, beside those that begin with `pg_`."""

REMOVE_SECONDS = 10.0
FIRST_NORMAL_OID = 16384
"""PostgreSQL numbers from here on what users make: databases, tables and their files."""

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


def ensure_cluster(programs: Path, pgdata: Path, account: ServerAccount, lock: int) -> None:
    """Make the data folder where there is none.

    Raises:
        EmbeddedUnavailable: initdb failed, or what is there was not made by this version of PostgreSQL.
        OSError: the folder cannot be changed.
    """
    if not pgdata.exists() and (moved := former_data(pgdata)):
        raise EmbeddedUnavailable(
            f"a move to PostgreSQL {MAJOR} was interrupted: the data are in {moved[0]}; "
            "`bigbrotr-dagster db upgrade` starts it again"
        )
    remove_leftovers(pgdata)
    if not pgdata.exists() or not any(pgdata.iterdir()):
        new = new_cluster(programs, pgdata, account, lock)
        put_in_place(new, pgdata)
        return
    version = cluster_version(pgdata)
    if version is None:
        raise EmbeddedUnavailable(f"{pgdata} is not empty and holds no PostgreSQL: move it away, or what is in it")
    if version != MAJOR:
        raise EmbeddedUnavailable(
            f"{pgdata} was made by PostgreSQL {version}, and the embedded one is {MAJOR}: "
            f"`bigbrotr-dagster db upgrade` moves the data over"
        )


def cluster_version(pgdata: Path) -> str | None:
    """The major version of PostgreSQL that made the data; None where there are none."""
    try:
        return (pgdata / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def former_data(pgdata: Path) -> list[Path]:
    """The folders in which moves to a newer version have left the older one's data."""
    return [path for path in pgdata.parent.glob(f"{pgdata.name}-*") if path.name.rpartition("-")[2].isdigit()]


def new_cluster(programs: Path, pgdata: Path, account: ServerAccount, lock: int) -> Path:
    """Make a data folder beside `pgdata`; returns it."""
    new = pgdata.with_name(f"{pgdata.name}.new-{secrets.token_hex(4)}")
    new.mkdir(mode=FOLDER_MODE)
    account.own(new)
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    # Collation by code point: the same order on every machine, and the cheapest index for hexadecimal ids.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", *locale, *settings]
    with account.place(new) as place:
        fds = (lock, *place.fds)
        result = run_program(
            programs / "initdb", "-D", place.name, *options, account=account, seconds=INITDB_SECONDS, fds=fds
        )
    if result.returncode:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedUnavailable(f"initdb failed in {pgdata}: {reason(result.stdout, at=0)}")
    return new


def put_in_place(new: Path, pgdata: Path) -> None:
    """Give a complete data folder its name, for good: also a power cut leaves the old state or this one."""
    try:
        new.rename(pgdata)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedUnavailable(
            f"{pgdata} cannot be replaced ({error.strerror}): where it is a disk of its own, let "
            "BIGBROTR_DATA_DIR be the disk, and this a folder on it"
        ) from error
    above = os.open(pgdata.parent, os.O_RDONLY)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def remove_leftovers(pgdata: Path) -> None:
    """Remove what an initdb that was killed has left, under its own name or (older versions) under this one."""
    found = list(pgdata.parent.glob(f"{pgdata.name}.new-*"))
    if pgdata.is_dir() and _is_unfinished(pgdata):
        found.append(pgdata)
    for folder in found:
        log.warning("removing %s, left by a first start that was interrupted", folder)
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder in which a program that is about to end may still make and remove files."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists():
        if time.monotonic() > deadline:
            raise EmbeddedUnavailable(f"{folder} cannot be removed: look who uses it, and remove it")
        shutil.rmtree(folder, ignore_errors=True)


def _is_unfinished(pgdata: Path) -> bool:
    """Whether initdb was at work here, no server ever ran, and nothing is here that a user made.

    A server writes postmaster.opts when it starts; a backup that was restored lacks it, but has users' files.
    """
    names = {path.name for path in pgdata.iterdir()}
    if not names or "postmaster.opts" in names or "backup_label" in names:
        return False
    if not all(name in INITDB_MAKES or name.startswith("pg_") for name in names):
        return False
    if any((pgdata / "pg_tblspc").glob("*")):
        return False
    numbers = (path.name.partition(".")[0].partition("_")[0] for path in (pgdata / "base").rglob("*"))
    return not any(number.isdigit() and int(number) >= FIRST_NORMAL_OID for number in numbers)
