"""Commands on where relays come from: look for some, and see what was found."""

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bigbrotr_dagster.cli.common import (
    archive_to_read,
    config_option,
    private_option,
    ready_database,
    shown_time,
)
from bigbrotr_dagster.cli.foreground import configured
from bigbrotr_dagster.cli.logs import complain, log_options, service, tell
from bigbrotr_dagster.discovery.candidates import Candidate, list_candidates
from bigbrotr_dagster.discovery.scan import ScanReport, scan
from bigbrotr_dagster.discovery.validation import ValidationReport, validate


@click.command()
@click.option("--once", is_flag=True, help="One look; without it, again every `discovery.interval` seconds.")
@config_option
@private_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a look on stdout.")
@log_options
def discover(once: bool, config_path: Path | None, allow_private: bool, as_json: bool) -> None:
    """Look for relays: in what is archived, and in the configured lists. Who speaks Nostr is registered."""
    with service("discovery"), configured(config_path, allow_private) as config:
        url = ready_database()
        while True:
            tell("cycle_started")
            started = time.monotonic()
            found = scan(url, config)
            tried = asyncio.run(validate(url, config))
            for network in sorted(tried.networks_down):
                why = "none of its relays that were alive can be reached, so nothing was tried there"
                complain(f"{network}: {why}", "network_unreachable", network=network)
            print(_line(found, tried, as_json), flush=True)
            tell("cycle_completed", duration_s=round(time.monotonic() - started, 3), **_summary(found, tried))
            if once:
                return
            time.sleep(max(0.0, config.discovery.interval - (time.monotonic() - started)))


def _summary(found: ScanReport, tried: ValidationReport) -> dict[str, Any]:
    return {
        "scanned": found.scanned,
        "candidates_new": found.candidates_new,
        "validated": len(tried.validated),
        "failed": dict(tried.failed.most_common()),
        "waiting": tried.waiting,
    }


def _line(found: ScanReport, tried: ValidationReport, as_json: bool) -> str:
    if as_json:
        return json.dumps(_summary(found, tried))
    failed = ", ".join(f"{count} {reason}" for reason, count in tried.failed.most_common())
    return (
        f"{found.scanned} events scanned, {found.candidates_new} new candidates;"
        f" {len(tried.validated)} of {tried.tried} tried are relays"
        + (f" (failed: {failed})" if failed else "")
        + f"; {tried.waiting} wait"
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON array.")
def candidates(as_json: bool) -> None:
    """Print what was named as a relay and is none yet, the most promising first."""
    found = list_candidates(archive_to_read())
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        named = f"named by {one.mentions} events of {one.authors} authors" if one.mentions else one.source
        print(f"{one.network}\t{one.url}\t{named}\t{_state(one)}")


def _state(one: Candidate) -> str:
    if one.next_try is None:
        return "taken off by the operator"
    if one.failures == 0:
        return "waits"
    return f"{one.reason}: {one.error}; failed {one.failures} times, next try {shown_time(one.next_try)}"
