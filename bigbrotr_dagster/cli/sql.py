"""The command that asks a data set: one query, a file of them, or a conversation."""

import csv
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import orjson

from bigbrotr_dagster.cli.common import config_option
from bigbrotr_dagster.cli.data_set import VIEWS, Answer, DataSet, DataSetUnreadable, opened
from bigbrotr_dagster.cli.logs import complain
from bigbrotr_dagster.config import load_config

WIDTH = 200
"""Characters of a line, where no terminal says how many it has."""

Show = Callable[[Answer], None]


@click.command("sql")
@click.argument("query", required=False)
@click.option(
    "-f",
    "--file",
    type=click.File(encoding="utf-8", errors="surrogateescape"),
    help="Ask what stands in a file; - is standard input.",
)
@click.option(
    "--export",
    "folder",
    metavar="DIR",
    help="Folder of the data set; default: `export.to`.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with the names of the columns first.")
def sql(
    query: str | None, file: Any, folder: str | None, config_path: Path | None, as_json: bool, as_csv: bool
) -> None:
    """Ask a data set in SQL (DuckDB's): views event, observation, manifest and coverage over its days.

    Without QUERY it reads standard input; on a terminal it asks for one query after another. Nothing is changed.
    """
    if (query is not None and file is not None) or (as_json and as_csv):
        raise click.UsageError("one of QUERY and --file, and one of --json and --csv")
    to = folder or load_config(config_path).export.to
    if to is None:
        raise click.UsageError("which data set? --export names a folder, or the option export.to")
    if "://" in to:
        raise click.UsageError(f"{to}: a folder is expected")
    show = _print_json if as_json else _print_csv if as_csv else _print_table
    with opened(Path(to)) as data_set:
        if query is None and file is None and sys.stdin.isatty():
            _converse(data_set, show)
            return
        text = query if query is not None else (file or sys.stdin).read()
        for answer in data_set.ask(text):
            show(answer)


def _converse(data_set: DataSet, show: Show) -> None:
    """Ask until the end of input; what goes wrong is a line, and the next query is asked for."""
    with suppress(ImportError):  # some Pythons lack it
        import_module("readline")  # lines can be edited, and had again by the arrow
    print(f"Views: {', '.join(VIEWS)}. A query ends with a semicolon; Ctrl-D ends it all.")
    text = ""
    while True:
        try:
            line = input("  ...> " if text else "sql> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:  # leave this query off, as shells do
            print()
            text = ""
            continue
        text = f"{text}{line}\n"
        if not text.strip():
            text = ""
        elif line.rstrip().endswith(";"):
            _answer(data_set, text, show)
            text = ""


def _answer(data_set: DataSet, text: str, show: Show) -> None:
    try:
        for answer in data_set.ask(text):
            show(answer)
    except DataSetUnreadable as error:
        complain(str(error))
    except KeyboardInterrupt:
        print()


def _print_table(answer: Answer) -> None:
    if answer.columns == ["explain_key", "explain_value"]:  # a drawing of several lines
        print("\n".join(value for _, value in answer.rows()))
        return
    print(answer.table(shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH))


def _print_json(answer: Answer) -> None:
    columns = answer.columns
    for row in answer.rows():
        print(orjson.dumps(dict(zip(columns, row, strict=True)), default=_plain).decode())


def _print_csv(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_cell(value) for value in row] for row in answer.rows())


def _cell(value: Any) -> Any:
    """A value in CSV: bytes are hex, and what is no single value is JSON."""
    if isinstance(value, list | tuple | dict):
        return orjson.dumps(value, default=_plain).decode()
    return value.hex() if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    """What JSON has no form for: bytes are hex; whole numbers are numbers, as far as JSON's readers hold them."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return int(value) if value == int(value) and abs(value) < 2**53 else str(value)
    return str(value)
