"""The command line. Commands are thin: they check what they are given, and call a room.

Whatever goes wrong is one line on stderr. Exit codes: 1 for configuration, database, or when every relay
failed; 2 for usage; 130 after Ctrl-C. Dagster is imported by the commands that need it: it takes seconds.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from bigbrotr_dagster import __version__
from bigbrotr_dagster.cli_common import (
    PROGRAM,
    archive_to_read,
    complain,
    config_option,
    one_relay_url,
    ready_database,
    relay_urls,
    shown_time,
)
from bigbrotr_dagster.cli_operations import metrics, quarantine
from bigbrotr_dagster.dagster_home import HomeError, initialize
from bigbrotr_dagster.devserver import DevServerError, run_dev
from bigbrotr_dagster.foreground import configured, one_cycle, practice_relays, remarks, report_line
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import without_password
from bigbrotr_dagster.storage.pool import (
    DatabaseUnavailable,
    connect,
    data_dir,
    database_url,
    ensure_database,
)
from bigbrotr_dagster.storage.postgres_programs import binaries
from bigbrotr_dagster.storage.registry import mark_gaps, relay_gaps
from bigbrotr_dagster.storage.rows import LAST_SECOND
from bigbrotr_dagster.storage.state import reset_cursor
from bigbrotr_dagster.storage.trouble import database_trouble
from bigbrotr_dagster.sync import (
    RESTRICTED_KINDS,
    ConfigError,
    load_config,
    register_relays,
    registered_relays,
    relay_states,
    remove_relays,
)
from bigbrotr_dagster.web_guard import ALLOW_HOST_VARIABLE, host_name
from bigbrotr_dagster.webserver import serve_ui

private_option = click.option(
    "--allow-private", is_flag=True, help="Let relays be on loopback and private addresses."
)
demo_option = click.option(
    "--demo", is_flag=True, help="Sync three practice relays on this machine: no internet needed."
)


def _host_names(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(host_name(text) for text in given)
    except ValueError as error:
        raise click.BadParameter("a host name or IP address is expected, without scheme and port") from error


host_option = click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    envvar=ALLOW_HOST_VARIABLE,
    callback=_host_names,
    help="Serve the UI under this host name as well as under localhost; may be repeated.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """An archive of Nostr: every second of every relay covered, pending, or a named gap."""


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
@config_option
@private_option
@demo_option
@host_option
def dev(port: int, config_path: Path | None, allow_private: bool, demo: bool, allow_host: tuple[str, ...]) -> int:
    """Start everything: PostgreSQL, Dagster's UI and daemon, schedules on. Ctrl-C stops it all."""
    load_config(config_path)
    return run_dev(port, config_path, demo, allow_private, allow_host)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@host_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def webserver(allow_host: tuple[str, ...], options: tuple[str, ...]) -> int:
    """Serve Dagster's UI alone, guarded against other web pages; OPTIONS are those of `dagster-webserver`."""
    return serve_ui(options, allow_host)


@cli.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path | None) -> None:
    """Write dagster.yaml and workspace.yaml for Dagster's own programs into FOLDER, else DAGSTER_HOME, else here.

    What a person has changed is kept.
    """
    for line in initialize((folder or Path(os.environ.get("DAGSTER_HOME") or ".")).expanduser().resolve()):
        print(line)


@cli.command()
@click.option("--once", is_flag=True, help="One cycle; without it, again every `interval` seconds.")
@click.option("--relay", "relays", multiple=True, metavar="URL", help="Sync this relay; may be repeated.")
@config_option
@private_option
@demo_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a cycle on stdout.")
def sync(
    once: bool,
    relays: tuple[str, ...],
    config_path: Path | None,
    allow_private: bool,
    demo: bool,
    as_json: bool,
) -> int:
    """Sync relays in this process, through the Dagster asset: those given, else all that are due."""
    with configured(config_path, allow_private or demo) as config, practice_relays(demo) as practice:
        urls = relay_urls(relays, config.allow_private)
        url = ready_database()
        register_relays(url, [*urls, *practice])
        while True:
            started = time.monotonic()
            report = one_cycle(url, config, [*urls, *practice])
            for remark in remarks(report):
                complain(remark)
            print(report_line(report, as_json), flush=True)
            if once:
                return 1 if report.relays and len(report.failed) == len(report.relays) else 0
            time.sleep(max(0.0, config.interval - (time.monotonic() - started)))


cli.add_command(sync, "synchronizer")


@cli.group()
def relays() -> None:
    """The registry: which relays are archived."""


@relays.command("add")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@private_option
def relays_add(urls: tuple[str, ...], allow_private: bool) -> None:
    """Register relays; each gets its partition within half a minute while `dev` runs."""
    given = relay_urls(urls, allow_private)
    print(f"{register_relays(ready_database(), given)} added")


@relays.command("import")
@click.argument("file", type=click.File("rb"))
@private_option
def relays_import(file: BinaryIO, allow_private: bool) -> None:
    """Register the relays in FILE, one URL a line; `-` is standard input. Bad lines are named and left out."""
    good: list[str] = []
    bad = 0
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig").partition(" #")[0].strip()
            if text and not text.startswith("#"):
                good += relay_urls([text], allow_private)
        except (click.UsageError, UnicodeDecodeError) as error:
            bad += 1
            why = error.message if isinstance(error, click.UsageError) else "not UTF-8"
            complain(f"{file.name}:{number}: {why}")
    print(f"{register_relays(ready_database(), good)} added, {bad} bad lines")


@relays.command("list")
def relays_list() -> None:
    """Print every registered relay with its network."""
    for relay in registered_relays(archive_to_read()):
        print(f"{relay.network}\t{relay.url}")


@relays.command("remove")
@click.argument("url")
def relays_remove(url: str) -> None:
    """Take a relay off the registry. Its events stay; its cursor goes with the next cleanup."""
    [normal] = relay_urls([url], allow_private=True)
    if not remove_relays(ready_database(), [normal]):
        raise click.ClickException(f"{normal} is not registered")
    print(f"{normal} removed")


@cli.group()
def cursors() -> None:
    """How far each relay is archived."""


@cursors.command("show")
@click.argument("url", required=False)
def cursors_show(url: str | None) -> None:
    """Print the cursor, the gaps and the last outcome of every relay, or of one."""
    url = one_relay_url(url)
    states = relay_states(archive_to_read(), url)
    if url is not None and not states:
        raise click.ClickException(f"{url} is not registered")
    for state in states:
        at = shown_time(state.cursor.timestamp) if state.cursor else "-"
        error = safe_line(state.error or "")  # an older row may hold what a relay said as it said it
        outcome = "never tried" if state.ok is None else "ok" if state.ok else f"failed: {error}"
        without = f"\twithout kinds {' and '.join(map(str, RESTRICTED_KINDS))}" if state.lacks_restricted else ""
        print(f"{state.url}\t{at}\t{state.gaps} gaps\t{outcome}{without}")


@cursors.command("reset")
@click.argument("url")
@click.option(
    "--to",
    type=click.IntRange(0, LAST_SECOND),
    default=0,
    help="Unix time from which on to read again; default: all.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be read again.")
def cursors_reset(url: str, to: int, dry_run: bool) -> None:
    """Forget what is proved of a relay from a second on, so that it is read again. Events stay."""
    [normal] = relay_urls([url], allow_private=True)
    with connect(archive_to_read() if dry_run else ready_database()) as connection:
        seconds, events = reset_cursor(connection, normal, to, dry_run=dry_run)
    verb = "would be" if dry_run else "will be"
    stretch = f"{seconds} covered seconds from {shown_time(to)} on"
    print(f"{normal}: {stretch} {verb} read again; {events} events are stored")


@cli.group()
def gaps() -> None:
    """What could not be proved complete, and why."""


@gaps.command("list")
@click.argument("url", required=False)
def gaps_list(url: str | None) -> None:
    """Print the gaps of every relay, or of one: from, to, reason, events held there and missing there, tries."""
    url = one_relay_url(url)
    with connect(archive_to_read()) as connection:
        for gap in relay_gaps(connection, url):
            span = f"{shown_time(gap.since)}\t{shown_time(gap.until)}"
            missing = "unknown" if gap.missing is None else gap.missing
            counts = f"{gap.held} held\t{missing} missing\t{gap.tries} tries"
            print(f"{gap.relay_url}\t{span}\t{safe_line(gap.reason)}\t{counts}")


@gaps.command("retry")
@click.argument("url")
def gaps_retry(url: str) -> None:
    """Try all gaps of a relay again with its next sync; by itself a sync tries one."""
    [normal] = relay_urls([url], allow_private=True)
    with connect(ready_database()) as connection:
        print(f"{mark_gaps(connection, normal)} gaps are tried again with the next sync of {normal}")


cli.add_command(quarantine)
cli.add_command(metrics)


@cli.group()
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


@db.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def db_psql(arguments: tuple[str, ...]) -> int:
    """Open psql on the archive; further ARGUMENTS go to it."""
    url, secret = without_password(archive_to_read())
    program = shutil.which("psql") or str(binaries() / "psql")
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


def _say_once() -> None:
    """What a database's absence makes others say at each try, one line says at the end."""
    for name in ("psycopg", "sqlalchemy.pool", "bigbrotr_dagster.storage.run_lock"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_no_retry)


def _is_no_retry(record: logging.LogRecord) -> bool:
    """dagster_postgres speaks through the root logger, which nobody else does."""
    return record.levelno > logging.WARNING


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, and prints one line where something is wrong."""
    # Without this SIGTERM would end us with the embedded server left running; Dagster's runs have their own way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    _say_once()
    try:
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except (ConfigError, DatabaseUnavailable, DevServerError, HomeError, embedded.EmbeddedUnavailable) as error:
        complain(str(error))
        return 1
    except (KeyboardInterrupt, click.Abort):
        complain("stopped; everything that was received is stored")
        return 130
    except Exception as error:
        trouble = database_trouble(error)
        if trouble is None and not isinstance(error, OSError):
            raise  # a mistake of ours, which its traceback names
        complain(str(trouble or error))
        return 1
    return code if isinstance(code, int) else 0
