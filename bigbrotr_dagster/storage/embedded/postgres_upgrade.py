"""Data of an older major version of PostgreSQL become data of ours: dumped by one server, restored in another.

pg_upgrade would be faster, and needs both versions built alike. The old data stay, under another name, until a
person removes them; whatever fails leaves them where they were.

The older version's own pg_dump is taken: only it knows what its catalogs hold that is not for another version.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, cast

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import Identifier

from bigbrotr_dagster.storage.embedded.postgres_cluster import (
    cluster_version,
    former_data,
    new_cluster,
    put_in_place,
    remove_leftovers,
)
from bigbrotr_dagster.storage.embedded.postgres_programs import (
    MAJOR,
    environment,
    programs_for,
    programs_of,
    reason,
)
from bigbrotr_dagster.storage.embedded.postgres_server import launch, postmaster, shut_down
from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable, ServerAccount, server_account
from bigbrotr_dagster.storage.queries import composed, query


class Running(NamedTuple):
    """A server of one version, on one data folder, and its programs."""

    programs: Path
    socket_dir: Path

    def url(self, database: str) -> str:
        """How to connect to one of its databases, whatever the environment says (PGOPTIONS)."""
        session = {"client_encoding": "UTF8", "options": "-c default_transaction_read_only=off"}
        return make_conninfo("", host=str(self.socket_dir), user="postgres", dbname=database, **session)


def move_data(pgdata: Path, programs: Path | None, lock: int) -> Iterator[str]:
    """Move the data to our version; a line for each step. The caller holds file `lock`; nobody uses the server."""
    if not pgdata.exists() and (moved := former_data(pgdata)):
        moved[0].rename(pgdata)  # an earlier move was interrupted between its last two steps
    version = cluster_version(pgdata)
    if version is None:
        raise EmbeddedUnavailable(f"{pgdata} holds no data of PostgreSQL")
    if version == MAJOR:
        yield f"{pgdata} is PostgreSQL {MAJOR}'s already"
        return
    kept = pgdata.with_name(f"{pgdata.name}-{version}")
    if kept.exists():
        raise EmbeddedUnavailable(f"{kept} is in the way, left by an earlier move: move it elsewhere")
    if postmaster(pgdata) is not None:
        raise EmbeddedUnavailable(f"a PostgreSQL {version} runs on {pgdata}: stop it first")
    account = server_account(pgdata)
    theirs, ours = programs_of(version, programs, account), programs_for(account)
    _check_room(pgdata)
    remove_leftovers(pgdata)
    yield f"moving {pgdata} from PostgreSQL {version} to {MAJOR}"
    new = new_cluster(ours, pgdata, account, lock)
    try:
        with _running(theirs, pgdata, account) as old, _running(ours, new, account) as target:
            yield from _copy_everything(old, target)
    except psycopg.Error as error:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedUnavailable(f"the data could not be moved: {str(error).splitlines()[0]}") from error
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    pgdata.rename(kept)
    put_in_place(new, pgdata)
    yield f"done; the old data are kept in {kept}: remove them when you are content"


def _check_room(pgdata: Path) -> None:
    needed = sum(path.lstat().st_size for path in pgdata.rglob("*"))
    free = shutil.disk_usage(pgdata.parent).free
    if free < needed:
        raise EmbeddedUnavailable(f"{needed:,} bytes are needed beside {pgdata}, and {free:,} are free")


@contextmanager
def _running(programs: Path, pgdata: Path, account: ServerAccount) -> Iterator[Running]:
    try:
        yield Running(programs, launch(programs, pgdata, account))
    finally:
        shut_down(pgdata, programs)


def _copy_everything(old: Running, new: Running) -> Iterator[str]:
    _copy_roles(old, new)
    with psycopg.connect(old.url("postgres")) as connection:
        databases = [name for (name,) in connection.execute(query("upgrade_databases"))]
    for database in databases:
        _copy_database(old, new, database)
        rows = _compare(old, new, database)
        with psycopg.connect(new.url(database), autocommit=True) as connection:
            connection.execute(query("upgrade_analyze"))
        yield f"database {database}: {rows:,} rows"


def _copy_roles(old: Running, new: Running) -> None:
    with _client(old.programs / "pg_dumpall", "-d", old.url("postgres"), "--globals-only", read=True) as dump:
        lines = cast(IO[bytes], dump.stdout).readlines()
    made = b"CREATE ROLE postgres;"  # initdb did
    with _client(new.programs / "psql", "-d", new.url("postgres"), *_STRICT) as restore:
        _write(restore, b"".join(line for line in lines if line.strip() != made))


def _copy_database(old: Running, new: Running, database: str) -> None:
    """Dump a database with its settings, and restore it with the collation of ours."""
    exists = database == "postgres"
    options = [] if exists else ["--create"]
    made = composed("upgrade_create", name=Identifier(database)).as_bytes(None)
    with (
        _client(old.programs / "pg_dump", *options, "-d", old.url(database), read=True) as dump,
        _client(new.programs / "psql", "-d", new.url("postgres"), *_STRICT) as restore,
    ):
        dumped = cast(IO[bytes], dump.stdout)
        for line in iter(dumped.readline, b"") if not exists else ():
            if line.startswith(b"CREATE DATABASE "):
                _write(restore, made + b";\n")
                break
            _write(restore, line)
        with suppress(BrokenPipeError):  # psql has said why
            shutil.copyfileobj(dumped, cast(IO[bytes], restore.stdin), 1 << 20)


def _compare(old: Running, new: Running, database: str) -> int:
    """The number of a database's rows.

    Raises:
        EmbeddedUnavailable: a table lacks rows.
    """
    total = 0
    with psycopg.connect(old.url(database)) as before, psycopg.connect(new.url(database)) as after:
        for schema, table in before.execute(query("upgrade_tables")).fetchall():
            counting = composed("upgrade_count", table=Identifier(schema, table))
            counts = [connection.execute(counting).fetchall()[0][0] for connection in (before, after)]
            if counts[0] != counts[1]:
                raise EmbeddedUnavailable(f"{database}.{table}: {counts[1]} of {counts[0]} rows arrived")
            total += counts[0]
    return total


_STRICT = ("-X", "-q", "-o", os.devnull, "-v", "ON_ERROR_STOP=1")


@contextmanager
def _client(program: Path, *arguments: str, read: bool = False) -> Iterator["subprocess.Popen[bytes]"]:
    """One of a version's client programs, whose output is read, or whose input is written.

    Raises:
        EmbeddedUnavailable: it failed.
    """
    process = subprocess.Popen(
        [program, *arguments],
        stdin=subprocess.DEVNULL if read else subprocess.PIPE,
        stdout=subprocess.PIPE if read else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        yield process
        _, said = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise EmbeddedUnavailable(f"{program.name} failed: {reason(said.decode(errors='replace'), at=0)}")


def _write(process: "subprocess.Popen[bytes]", text: bytes) -> None:
    with suppress(BrokenPipeError):  # it has said why
        cast(IO[bytes], process.stdin).write(text)
