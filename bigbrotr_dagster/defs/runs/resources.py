"""What the graph is given: where the archive is, and how relays are synced.

Neither resource has a field: whoever can start a run could set it in the run's config, and send the run to another
database, or past what the configuration allows.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

import dagster as dg

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.runs.run_process import living
from bigbrotr_dagster.defs.settings import archive_url, configuration
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable


class ArchiveDatabase(dg.ConfigurableResource):
    """The PostgreSQL database that holds the archive: BIGBROTR_DATABASE_URL, else the embedded server's.

    In a project with an `ArchiveComponent`, the one that this names.

    A run that is given it holds its lock there, to its end.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["ArchiveDatabase"]:
        """Called by Dagster around a run, and around a tick, where there is none."""
        with ExitStack() as stack:
            if context.run is not None and context.instance is not None:
                with suppress(DatabaseUnavailable):  # what asks the database for something will say so
                    url = archive_url()
                    stack.enter_context(living(context.instance, context.run, url))
            yield self

    def ready(self) -> str:
        """URL of the database, which exists and has our newest schema."""
        url = archive_url()
        _prepare(url)
        return url


class Synchronizer(dg.ConfigurableResource):
    """How relays are synced: the options of synchronizer.yaml, which BIGBROTR_CONFIG names, else the defaults.

    What a project's `ArchiveComponent` gives goes before them.
    """

    def config(self) -> SynchronizerConfig:
        """The options, read anew so that an edited file holds from the next run on."""
        return configuration()


@cache
def _prepare(url: str) -> None:
    ensure_database(url)  # once a process: a sensor's tick must not pay for it each time
