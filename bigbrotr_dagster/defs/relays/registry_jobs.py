"""The jobs `add_relays` and `remove_relays`: the registry, changed by a form in the UI."""

from collections.abc import Mapping

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.archive.registry import register_relays, registered_relays
from bigbrotr_dagster.archive.registry import remove_relays as take_off
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import RELAYS, as_text, listing
from bigbrotr_dagster.defs.relays.follow import follow_registry, read_urls
from bigbrotr_dagster.defs.relays.registered import registry_metadata
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer

MOST_ROWS = 200


class Relays(dg.Config):
    """Which relays."""

    relays: list[str] = Field(default=[], description="URLs of relays.")
    lines: str = Field(default="", description="URLs as well, one a line; what follows a # is left out.")

    def texts(self) -> list[str]:
        """All that was given, each once, in order."""
        lines = (line.partition(" #")[0].strip() for line in self.lines.splitlines())
        given = [*(text.strip() for text in self.relays), *(line for line in lines if not line.startswith("#"))]
        return list(dict.fromkeys(text for text in given if text))


@dg.op
def register(
    context: dg.OpExecutionContext, config: Relays, database: ArchiveDatabase, synchronizer: Synchronizer
) -> None:
    """Register the relays that are none yet, give them their partitions, and say of each what was done."""
    url, options = database.ready(), synchronizer.config()
    relays, refused = read_urls(config.texts(), options)
    before = {relay.url for relay in registered_relays(url)}
    register_relays(url, [relay.url for relay in relays.values()])
    done = {text: "already there" if relay.url in before else "added" for text, relay in relays.items()}
    _tell(context, url, options, done, refused)


@dg.op
def unregister(
    context: dg.OpExecutionContext, config: Relays, database: ArchiveDatabase, synchronizer: Synchronizer
) -> None:
    """Take the relays off the registry, and say of each what was done. What is stored of them stays."""
    url, options = database.ready(), synchronizer.config()
    anywhere = options.model_copy(update={"allow_private": True})  # whatever is registered can be taken off
    relays, refused = read_urls(config.texts(), anywhere)
    before = {relay.url for relay in registered_relays(url)}
    take_off(url, [relay.url for relay in relays.values()])
    done = {text: "removed" if relay.url in before else "was not registered" for text, relay in relays.items()}
    _tell(context, url, options, done, refused)


def _tell(
    context: dg.OpExecutionContext,
    database_url: str,
    options: SynchronizerConfig,
    done: Mapping[str, str],
    refused: Mapping[str, str],
) -> None:
    """Let partitions follow, and show what was done: in the run's log, and on asset `relays`.

    Raises:
        dg.Failure: something was refused; the rest is done.
    """
    if not done and not refused:
        context.log.info("Nothing to do: no URL was given (`relays`, or `lines` with one a line).")
        return
    refused = {_shown(text): why for text, why in refused.items()}
    told = {**done, **{text: f"refused: {why}" for text, why in refused.items()}}
    followed = follow_registry(context.instance, database_url, options)
    said = [f"{text}: {what}" for text, what in told.items()]
    context.log.info("\n".join([*said, *followed.lines()]))
    metadata = registry_metadata(registered_relays(database_url))
    metadata["done"] = dg.MetadataValue.table(
        [
            dg.TableRecord({"relay": as_text(text), "done": as_text(what)})
            for text, what in list(told.items())[:MOST_ROWS]
        ],
        dg.TableSchema([dg.TableColumn("relay"), dg.TableColumn("done")]),
    )
    context.log_event(dg.AssetMaterialization(RELAYS, metadata=metadata))
    if refused:
        description = f"{len(refused)} of {len(told)} URLs were refused\n{listing(dict(refused))}"
        raise dg.Failure(description, allow_retries=False)


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)


@dg.job(executor_def=dg.in_process_executor)
def add_relays() -> None:
    """Register relays: `relays`, or `lines` with one URL a line. Each is synced within a minute."""
    register()


@dg.job(executor_def=dg.in_process_executor)
def remove_relays() -> None:
    """Take relays off the registry: `relays`, or `lines` with one URL a line. What is stored of them stays.

    Discovery does not bring them back.
    """
    unregister()
