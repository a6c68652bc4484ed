"""The program: all groups of commands, and what becomes of an error.

Whatever goes wrong is one line on stderr. Exit codes: 1 for configuration, database, or when every relay
failed; 2 for usage; 130 after Ctrl-C. Dagster is imported by the commands that need it: it takes seconds.
"""

import logging
import signal
import sys
from collections.abc import Sequence

import click

from bigbrotr_dagster import __version__
from bigbrotr_dagster.cli.config import config
from bigbrotr_dagster.cli.database import db
from bigbrotr_dagster.cli.discovery import candidates, discover
from bigbrotr_dagster.cli.export import export_days
from bigbrotr_dagster.cli.logs import PROGRAM, complain, complain_of_failure, set_up_logging
from bigbrotr_dagster.cli.operations import metrics, quarantine
from bigbrotr_dagster.cli.proof import cursors, gaps
from bigbrotr_dagster.cli.relays import relays
from bigbrotr_dagster.cli.report import report
from bigbrotr_dagster.cli.retention import retention
from bigbrotr_dagster.cli.sql import sql
from bigbrotr_dagster.cli.sync import sync
from bigbrotr_dagster.cli.ui import dev, init, webserver
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.address import forget_other_servers
from bigbrotr_dagster.storage.trouble import database_trouble


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """An archive of Nostr: every second of every relay covered, pending, or a named gap."""


ARCHIVE = (sync, relays, cursors, gaps, quarantine, retention, export_days, sql, report, metrics)
for command in (dev, webserver, init, *ARCHIVE, config, db):
    cli.add_command(command)
cli.add_command(sync, "synchronizer")
for command in (discover, candidates):
    relays.add_command(command)


def _say_once() -> None:
    """What a database's absence makes others say at each try, one line says at the end."""
    for name in ("psycopg", "sqlalchemy.pool", "bigbrotr_dagster.storage.locks.runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_no_retry)


def _is_no_retry(record: logging.LogRecord) -> bool:
    """dagster_postgres speaks through the root logger, which nobody else does."""
    return record.levelno > logging.WARNING


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, and prints one line where something is wrong.

    Raises:
        Exception: a mistake of ours, which its traceback names.
    """
    # Without this SIGTERM would end us with the embedded server left running; Dagster's runs have their own way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _say_once()
    forget_other_servers()
    try:
        set_up_logging()
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        complain_of_failure(error.format_message())
        return error.exit_code
    except CannotGoOn as error:
        complain_of_failure(str(error))
        return 1
    except (KeyboardInterrupt, click.Abort):
        complain("stopped; everything that was received is stored", "stopped")
        return 130
    except Exception as error:
        trouble = database_trouble(error)
        if trouble is None and not isinstance(error, OSError):
            raise
        complain_of_failure(str(trouble or error))
        return 1
    finally:
        logging.captureWarnings(False)
    return code if isinstance(code, int) else 0
