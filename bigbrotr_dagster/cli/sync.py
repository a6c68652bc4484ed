"""The command `sync`: cycles in this process, until Ctrl-C or once."""

import time
from pathlib import Path

import click

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.cli.common import (
    config_option,
    demo_option,
    private_option,
    ready_database,
    relay_urls,
)
from bigbrotr_dagster.cli.foreground import configured, one_cycle, practice_relays, remarks, report_line
from bigbrotr_dagster.cli.logs import complain, log_options, service, tell


@click.command()
@click.option("--once", is_flag=True, help="One cycle; without it, again every `interval` seconds.")
@click.option("--relay", "relays", multiple=True, metavar="URL", help="Sync this relay; may be repeated.")
@config_option
@private_option
@demo_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a cycle on stdout.")
@log_options
def sync(
    once: bool,
    relays: tuple[str, ...],
    config_path: Path | None,
    allow_private: bool,
    demo: bool,
    as_json: bool,
) -> int:
    """Sync relays in this process, through the Dagster asset: those given, else all that are due."""
    with (
        service("synchronizer"),
        configured(config_path, allow_private or demo) as config,
        practice_relays(demo) as practice,
    ):
        urls = relay_urls(relays, config.allow_private)
        url = ready_database()
        register_relays(url, [*urls, *practice])
        if not once:
            tell("run_forever_started", interval=config.interval)
        while True:
            tell("cycle_started")
            started = time.monotonic()
            report = one_cycle(url, config, [*urls, *practice])
            for remark in remarks(report):
                complain(remark.text, remark.event, **remark.fields)
            print(report_line(report, as_json), flush=True)
            tell("cycle_completed", duration_s=round(time.monotonic() - started, 3))
            if once:
                return 1 if report.relays and len(report.failed) == len(report.relays) else 0
            time.sleep(max(0.0, config.interval - (time.monotonic() - started)))
