"""Commands on the database: its URL, its schema, psql, and the embedded server."""

import os
import shutil
import subprocess
from pathlib import Path

import click

from bigbrotr_dagster.cli.common import archive_to_read
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import data_dir, database_url, without_password
from bigbrotr_dagster.storage.databases import ensure_database, grants_for


@click.group()
def db() -> None:
    """The database."""


@db.command("url")
def db_url() -> None:
    """Print the archive's URL. The embedded server runs only while something uses it."""
    print(archive_to_read())


@db.command("migrate")
def db_migrate() -> None:
    """Create the database if it is missing, and bring its schema up to date."""
    ensure_database(database_url())
    print("the schema is up to date")


@db.command("grants")
@click.argument("role")
def db_grants(role: str) -> None:
    """Print SQL that lets ROLE sync and read, and change no schema; who owns the tables executes it.

    Such a role can do all but `db migrate`, which is for the owner, after each new release.
    """
    for order in grants_for(archive_to_read(), role):
        print(order)


@db.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def db_psql(arguments: tuple[str, ...]) -> int:
    """Open psql on the archive; further ARGUMENTS go to it."""
    url, secret = without_password(archive_to_read())
    program = shutil.which("psql") or str(embedded.binaries() / "psql")
    return subprocess.call([program, url, *arguments], env=os.environ | secret)


@db.command("upgrade")
@click.option(
    "--programs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the older PostgreSQL's programs; default: where the system has them.",
)
def db_upgrade(programs: Path | None) -> None:
    """Move the embedded server's data, made by an older major version of PostgreSQL, to this one."""
    for line in embedded.upgrade(data_dir(), programs):
        print(line, flush=True)


@db.command("stop")
def db_stop() -> None:
    """Stop the embedded server, whoever uses it."""
    print("stopped" if embedded.stop(data_dir()) else "it was not running")
