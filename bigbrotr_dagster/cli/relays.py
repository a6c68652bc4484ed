"""Commands on the registry: which relays are archived."""

from typing import BinaryIO

import click

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, remove_relays
from bigbrotr_dagster.cli.common import archive_to_read, complain, private_option, ready_database, relay_urls
from bigbrotr_dagster.discovery.candidates import add_candidates


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
