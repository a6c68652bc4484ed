"""What the command `sync` does in this process: cycles, and what it says of them."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.cli.logs import tell
from bigbrotr_dagster.cli.progress_line import progress_line
from bigbrotr_dagster.config import SynchronizerConfig, load_config, reachable_networks
from bigbrotr_dagster.config.variables import ALLOW_PRIVATE_VARIABLE
from bigbrotr_dagster.defs.instance import prepare_home
from bigbrotr_dagster.demo import PortInUse, serve_in_background
from bigbrotr_dagster.storage.private_files import private_umask
from bigbrotr_dagster.sync import LEFT_OUT_NAMED, CycleReport, Progress


@contextmanager
def practice_relays(demo: bool) -> Iterator[list[str]]:
    """The practice relays' URLs, served meanwhile; none where it is not for show.

    Raises:
        click.ClickException: another program listens on one of their ports.
    """
    if not demo:
        yield []
        return
    try:
        with serve_in_background() as urls:
            yield list(urls)
    except PortInUse as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def configured(config_path: Path | None, allow_private: bool) -> Iterator[SynchronizerConfig]:
    """The configuration as the command line changes it; meanwhile it is what runs in this process read, too.

    Raises:
        ConfigError: it cannot be used.
    """
    changes = {"BIGBROTR_CONFIG": str(config_path) if config_path else None}
    changes |= {ALLOW_PRIVATE_VARIABLE: "1" if allow_private else None}
    before = {name: os.environ.get(name) for name in changes}
    try:
        os.environ.update({name: value for name, value in changes.items() if value is not None})
        yield load_config()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def one_cycle(url: str, config: SynchronizerConfig, chosen: Sequence[str]) -> CycleReport:
    """Sync the chosen relays, or all that are due, through the Dagster asset.

    Raises:
        click.ClickException: there is no relay to sync, or the run broke down.
    """
    from bigbrotr_dagster.defs.automation import RunFailed, sync_in_process

    urls = chosen or [one for due in due_relays(url, config, interval=0).values() for one in due]
    if not urls:
        why = "none is registered, or all wait after a failure"
        if not reachable_networks(config):
            why = "no network is enabled (networks.<network>.enabled)"
        raise click.ClickException(f"no relay to sync: {why}; `relays add URL`, or give --relay")
    os.environ["DAGSTER_HOME"] = str(prepare_home())
    progress = Progress()
    tell("sync_started", relay_count=len(urls))
    with private_umask(), progress_line(progress):
        try:
            report = sync_in_process(url, urls, progress=progress)
        except RunFailed as error:
            raise click.ClickException(str(error)) from error
    summary = report.to_json_dict()
    counts = {name: value for name, value in summary.items() if isinstance(value, int)}
    tell("sync_completed", events_synced=summary["observations_new"], **counts, duration_s=summary["seconds"])
    return report


@dataclass(frozen=True, slots=True)
class Remark:
    """A line for a person; for a machine the name of a log event, and its values."""

    text: str
    event: str
    fields: dict[str, Any]


def remarks(report: CycleReport) -> Iterator[Remark]:
    """What there is to say of single relays: who failed, who was left off, who had no turn."""
    for relay in report.failed:
        event = "unknown_network" if relay.skipped else "relay_sync_failed"
        fields = {"relay": relay.url, "network": relay.network, "error": relay.error}
        yield Remark(f"{relay.url}: {relay.error}", event, fields)
    for relay in report.busy:
        yield Remark(f"{relay.url}: {relay.error}", "relay_busy", {"relay": relay.url, "error": relay.error})
    for relay in report.relays:
        if relay.stopped_by is not None:
            text = f"{relay.url}: {relay.pending_seconds} seconds are left for the next run: {relay.stopped_by}"
            left = {"relay": relay.url, "pending_seconds": relay.pending_seconds, "stopped_by": relay.stopped_by}
            yield Remark(text, "relay_sync_unfinished", left)
    for url in report.left_out[:LEFT_OUT_NAMED]:
        text = f"{url}: left out, for want of time or of room at its host; it comes first next time"
        yield Remark(text, "relay_left_out", {"relay": url})
    more = len(report.left_out) - LEFT_OUT_NAMED
    if more > 0:
        yield Remark(f"{more} more relays were left out", "relays_left_out", {"relays": more})


def report_line(report: CycleReport, as_json: bool) -> str:
    """One line on a cycle: the JSON of the contract, or a sentence."""
    summary = report.to_json_dict()
    if as_json:
        return json.dumps(summary)
    left_out = f", {summary['relays_left_out']} left out" if report.left_out else ""
    return (
        f"{summary['relays_ok']} of {summary['relays']} relays ok{left_out}: {summary['events_new']} new events,"
        f" {summary['events_known']} known, {summary['gaps']} gaps, {summary['requests']} requests"
        f" in {summary['seconds']:.1f} s"
    )
