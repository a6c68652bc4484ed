"""The settings of this process's graph: applied once, before anything of the graph is imported.

They are no environment variables, and in no run's config: the definitions of a project say them, and each process
that loads these (a code server, a run's own, a worker's) hears of them so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bigbrotr_dagster.config import SynchronizerConfig, load_config
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.address import VARIABLE, database_url, parameters
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable


class SettingsError(CannotGoOn):
    """The graph is there already, with other settings; the message is one line."""


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """What a project may say of the graph; without it all is as in `bigbrotr_dagster.definitions`."""

    key_prefix: tuple[str, ...] = ()
    """Parts before the name in each asset's key."""
    database_url: str | None = field(default=None, repr=False)
    """The archive; None: BIGBROTR_DATABASE_URL's, else the embedded server's. Empty: given, with nothing in it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that go before those of the configuration file, nested as there."""


class _Process:
    """What holds in this process."""

    settings = GraphSettings()
    are_read = False


def apply_settings(settings: GraphSettings) -> None:
    """Let these settings hold in this process.

    Raises:
        SettingsError: the graph was built with others. One process holds one graph, and an instance one archive.
    """
    if settings == _Process.settings:
        return
    if _Process.are_read:
        raise SettingsError(
            "this code location has the graph of bigbrotr_dagster already, with other settings: "
            "give it one ArchiveComponent, and do not import bigbrotr_dagster.definitions beside it"
        )
    _Process.settings = settings


def graph_settings() -> GraphSettings:
    """The settings; from now on they hold."""
    _Process.are_read = True
    return _Process.settings


def configuration() -> SynchronizerConfig:
    """The options, read anew: those of the file, and those that the settings give in their place.

    Raises:
        ConfigError: they cannot be used.
    """
    return load_config(overlay=graph_settings().options)


def archive_url() -> str:
    """Where the archive is; the embedded server is started if need be.

    Raises:
        DatabaseUnavailable: it is nowhere, or the embedded server cannot start.
    """
    given = graph_settings().database_url
    if given is None:
        return database_url()
    if not given:
        raise DatabaseUnavailable(
            "the ArchiveComponent's database_url is empty: is the environment variable set that it names?"
        )
    try:
        parameters(given)
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(str(error).replace(VARIABLE, "the ArchiveComponent's database_url")) from None
    return given
