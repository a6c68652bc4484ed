"""What the commands share: options, checks of what they are given, and how they speak."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.storage.address import database_url
from bigbrotr_dagster.storage.databases import ensure_database, ensure_readable

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="YAML file with the options; default: the file that BIGBROTR_CONFIG names, else the defaults.",
)

private_option = click.option(
    "--allow-private", is_flag=True, help="Let relays be on loopback and private addresses."
)
demo_option = click.option(
    "--demo", is_flag=True, help="Sync three practice relays on this machine: no internet needed."
)


def ready_database() -> str:
    """The URL of the archive, whose schema is up to date."""
    url = database_url()
    ensure_database(url)
    return url


def archive_to_read() -> str:
    """The URL of an archive that is there; nothing is made or changed for a mere look."""
    url = database_url(make=False)
    ensure_readable(url)
    return url


def relay_urls(texts: Sequence[str], allow_private: bool) -> list[str]:
    """The normal form of relay URLs, each once.

    Raises:
        click.UsageError: one is not a relay URL, or is private where that is not allowed.
    """
    urls: dict[str, None] = {}
    for text in texts:
        try:
            relay = parse_relay_url(text)
        except InvalidRelayURL as error:
            raise click.UsageError(str(error)) from error
        if relay.network == "local" and not allow_private:
            raise click.UsageError(f"{relay.url}: a private address; --allow-private lets it through")
        urls[relay.url] = None
    return list(urls)


def one_relay_url(text: str | None) -> str | None:
    """The normal form of a relay's URL, where one is given.

    Raises:
        click.UsageError: it is not a relay URL.
    """
    return None if text is None else relay_urls([text], allow_private=True)[0]


def shown_time(timestamp: float) -> str:
    """Unix time as people read it (UTC)."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
