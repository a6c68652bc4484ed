"""Commands on the database: its URL, its schema, psql, and the embedded server."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from bigbrotr_dagster.cli.common import archive_to_read
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import data_dir, database_url, without_password
from bigbrotr_dagster.storage.databases import Progress, adopt, ensure_database, grants_for, undo

LINE_EVERY = 2.0
"""Seconds between two lines about the same step of an adoption."""


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


@db.command("adopt")
@click.option(
    "--trust-cursors",
    is_flag=True,
    help="What BigBrotr's cursors say to be read counts as covered, and is read again; else it is pending.",
)
@click.option("--batch-rows", type=click.IntRange(100, 1_000_000), default=10_000, show_default=True)
@click.option("--undo", "is_undone", is_flag=True, help="Leave it off: all that was made for it goes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def db_adopt(trust_cursors: bool, batch_rows: int, is_undone: bool, as_json: bool) -> None:
    """Take over a BigBrotr database while BigBrotr goes on; killed and run again, it goes on where it was."""
    url = database_url()
    steps = undo(url) if is_undone else adopt(url, batch_rows=batch_rows, trust_cursors=trust_cursors)
    for progress in _now_and_then(steps, "undone" if is_undone else "done"):
        print(json.dumps(asdict(progress)) if as_json else _progress_line(progress), flush=True)


def _now_and_then(steps: Iterator[Progress], end: str) -> Iterator[Progress]:
    """The first `Progress` of each step, its end, one every `LINE_EVERY` seconds; in the end the longest lock."""
    step, said, held = "", 0.0, 0.0
    for progress in steps:
        now, held = time.monotonic(), max(held, progress.held)
        if progress.step != step or now - said >= LINE_EVERY or progress.done == 1:
            yield progress
            step, said = progress.step, now
    yield Progress(end, held=held)


def _progress_line(progress: Progress) -> str:
    line = progress.step + (f": {progress.detail}" if progress.detail else "")
    if progress.done is not None:
        line += f": {progress.done:.1%}, {progress.rows:,} rows, {progress.rate:,.0f} a second"
    if progress.seconds_left:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        line += f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
    return line + (f"; locked others out for {progress.held:.2f} s at most" if progress.held else "")


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
