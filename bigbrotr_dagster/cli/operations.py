"""Commands for who operates an archive: what was rejected, and figures for a monitor."""

import asyncio
from pathlib import Path

import click

from bigbrotr_dagster.archive.quarantine import REASONS, quarantine_counts, quarantined, replay_quarantine
from bigbrotr_dagster.cli.common import archive_to_read, config_option, one_relay_url, ready_database, shown_time
from bigbrotr_dagster.cli.logs import log_options, service
from bigbrotr_dagster.cli.metrics_server import serve_metrics
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.storage.address import database_url

reason_option = click.option("--reason", type=click.Choice(REASONS), help="Only those with this reason.")


@click.group()
def quarantine() -> None:
    """Events that were rejected, and why."""


@quarantine.command("list")
@click.argument("url", required=False)
@reason_option
@click.option("--count", is_flag=True, help="A line for each reason: entries, relays, bytes.")
def quarantine_list(url: str | None, reason: str | None, count: bool) -> None:
    """Print the rejected events of every relay, or of one: relay, reason, id, when seen, bytes kept."""
    url = one_relay_url(url)
    database = archive_to_read()
    if count:
        for line in quarantine_counts(database, url, reason):
            print(f"{line.reason}\t{line.entries} entries\t{line.relays} relays\t{line.bytes} bytes")
        return
    for item in quarantined(database, url, reason):
        seen_at = shown_time(item.seen_at.timestamp())
        print(f"{item.relay_url}\t{item.reason}\t{item.event_id or '-'}\t{seen_at}\t{item.size} bytes")


@quarantine.command("replay")
@click.argument("url", required=False)
@reason_option
@config_option
def quarantine_replay(url: str | None, reason: str | None, config_path: Path | None) -> None:
    """Check rejected events again, by the configuration of now, and store those that pass."""
    url = one_relay_url(url)
    options = load_config(config_path).processing
    report = asyncio.run(replay_quarantine(ready_database(), options, url, reason))
    reasons = ", ".join(f"{count} {why}" for why, count in report.kept.most_common() if count)
    print(
        f"{report.stored} stored ({report.events_new} new events), {report.kept.total()} stay"
        + (f": {reasons}" if reasons else "")
    )


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@log_options
def metrics(port: int, host: str) -> None:
    """Serve figures of the archive to Prometheus until Ctrl-C; the database may come and go meanwhile."""
    with service("metrics"):
        serve_metrics(database_url(make=False), host, port)
