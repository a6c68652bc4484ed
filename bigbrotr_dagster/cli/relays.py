"""Commands on the registry: which relays are archived."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from bigbrotr_dagster.archive.registry import register_relays, remove_relays
from bigbrotr_dagster.cli.common import (
    archive_to_read,
    config_option,
    one_relay_url,
    private_option,
    ready_database,
    relay_urls,
)
from bigbrotr_dagster.cli.foreground import configured
from bigbrotr_dagster.cli.health import health_json, health_line
from bigbrotr_dagster.cli.logs import complain, log_options, service, tell
from bigbrotr_dagster.discovery.candidates import add_candidates
from bigbrotr_dagster.discovery.health import check_relays, known_health, relays_due


@click.group()
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
@click.option("--validate", is_flag=True, help="Have `relays discover` register those that are real.")
@private_option
def relays_import(file: BinaryIO, validate: bool, allow_private: bool) -> None:
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
    if validate:
        print(f"{add_candidates(ready_database(), good, 'file')} candidates added, {bad} bad lines")
    else:
        print(f"{register_relays(ready_database(), good)} added, {bad} bad lines")


@relays.command("list")
@click.option("--alive", is_flag=True, help="Those that answered at their last check.")
@click.option("--dead", is_flag=True, help="Those that did not.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, with what the last check of each says.")
def relays_list(alive: bool, dead: bool, as_json: bool) -> None:
    """Print every registered relay with its network."""
    found = known_health(archive_to_read())
    if alive or dead:
        found = [health for health in found if (alive and health.alive) or (dead and health.alive is False)]
    if as_json:
        print(json.dumps([asdict(health) for health in found]))
        return
    for health in found:
        print(f"{health.network}\t{health.url}")


@relays.command("health")
@click.argument("url", required=False)
@config_option
@private_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@log_options
def relays_health(url: str | None, config_path: Path | None, allow_private: bool, as_json: bool) -> int:
    """Check how relays are, and store it: one, else all whose last check is `monitor.interval` seconds ago."""
    url = one_relay_url(url)
    with service("monitor"), configured(config_path, allow_private) as config:
        database = ready_database()
        if url is not None and not known_health(database, [url]):
            raise click.ClickException(f"{url} is not registered")
        due = relays_due(database, config) if url is None else {"": [url]}
        chosen = [each for urls in due.values() for each in urls]
        tell("cycle_started", relay_count=len(chosen))
        report = asyncio.run(check_relays(database, config, chosen))
        dead = len(report.relays) - report.alive
        tell("cycle_completed", duration_s=round(report.seconds, 3), alive=report.alive, dead=dead)
    missed = report.missed()
    if as_json:
        print(json.dumps(health_json(report)))
    else:
        for health in report.relays:
            print(health_line(health))
    for missing, why in missed.items():
        complain(f"{missing}: {why}", "relay_not_checked", relay=missing, error=why)
    return 1 if missed and not report.relays else 0


@relays.command("remove")
@click.argument("url")
def relays_remove(url: str) -> None:
    """Take a relay off the registry. Its events stay; its cursor goes with the next cleanup."""
    [normal] = relay_urls([url], allow_private=True)
    if not remove_relays(ready_database(), [normal]):
        raise click.ClickException(f"{normal} is not registered")
    print(f"{normal} removed")
