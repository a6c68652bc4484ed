"""The command that makes the page of plots, for whoever has no Dagster at work."""

from pathlib import Path

import click

from bigbrotr_dagster.archive.report import write_report
from bigbrotr_dagster.cli.common import archive_to_read, config_option
from bigbrotr_dagster.config import load_config


@click.command()
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The HTML file; default: report/archive.html in the data folder.",
)
@config_option
def report(to: Path | None, config_path: Path | None) -> None:
    """Write the archive as a page of plots, one HTML file, and print where it is."""
    made = write_report(archive_to_read(), load_config(config_path), to)
    print(f"{made.path}\t{made.plots} plots\t{made.bytes} bytes")
