"""The command that writes data sets."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from bigbrotr_dagster.archive.export import ExportRefused, export, parsed_day
from bigbrotr_dagster.cli.common import archive_to_read, config_option
from bigbrotr_dagster.config import load_config

SHOWN = ("date", "why", "events", "observations", "bytes", "share")
"""Of a day that was written, in the JSON object."""


def _are_days(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> Sequence[str]:
    try:
        return [str(parsed_day(text)) for text in texts]
    except ExportRefused as error:
        raise click.BadParameter(str(error)) from error


@click.command("export")
@click.option(
    "--day",
    "days",
    multiple=True,
    metavar="YYYY-MM-DD",
    callback=_are_days,
    help="A day (UTC) to write, whatever is covered of it; default: all days that are due.",
)
@click.option(
    "--to",
    type=click.Path(file_okay=False),
    help="Folder of the data set, or s3://bucket/prefix; default: `export.to`.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export_days(days: Sequence[str], to: str | None, config_path: Path | None, as_json: bool) -> None:
    """Write days of the archive as Parquet files: events, observations, and a manifest for each day."""
    config = load_config(config_path)
    try:
        place = config.export.place(to)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    if place is None:
        raise click.UsageError("where to? --to names a folder, or the option export.to")
    started, written = time.monotonic(), []
    for day in export(archive_to_read(), config, place, days):
        written.append({name: getattr(day, name) for name in SHOWN})
        if not as_json:
            counts = f"{day.events} events\t{day.observations} observations\t{day.bytes} bytes"
            print(f"{day.date}\t{day.why}\t{counts}\t{day.share:.1%} of relays", flush=True)
    if as_json:
        print(json.dumps({"to": place, "days": written, "seconds": round(time.monotonic() - started, 3)}))
    elif not written:
        print("nothing is due")
