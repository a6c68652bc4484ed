"""The job `resync`: a range of time is read again, whatever was proved of it."""

from typing import Any

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.archive.proof import forget_proof
from bigbrotr_dagster.archive.registry import registered_relays
from bigbrotr_dagster.defs.relays.assets import judge, sync_and_record
from bigbrotr_dagster.defs.relays.checks import record_checks
from bigbrotr_dagster.defs.relays.run_options import options_of_run
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.run_process import canceled_by_a_signal
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.sync import askable


class Resync(dg.Config):
    """What is read again."""

    since: int = Field(description="First second (Unix time).")
    until: int | None = Field(default=None, description="Last second (Unix time); without it, now.")
    filters: list[dict[str, Any]] | None = Field(
        default=None, description="NIP-01 filters; without them those of the configuration."
    )
    relays: list[str] = Field(default=[], description="URLs of the relays that are read again.")
    all_relays: bool = Field(default=False, description="Read every registered relay again, rather than `relays`.")


@dg.op
def read_again(
    context: dg.OpExecutionContext, config: Resync, database: ArchiveDatabase, synchronizer: Synchronizer
) -> None:
    """Forget what is proved of the range under these filters, and sync it; events that are stored stay stored.

    Of a relay that the configuration does not let us try nothing is forgotten.
    """
    url = database.ready()
    options = options_of_run(synchronizer.config(), since=config.since, until=config.until, filters=config.filters)
    relays = _chosen(config, url)
    forget_proof(url, options, askable(relays, options))
    with canceled_by_a_signal(context):
        failed = sync_and_record(context, url, options, relays)
    record_checks(context, database, options)
    if failed:
        judge(context, options, failed, asked=len(relays))


def _chosen(config: Resync, database_url: str) -> list[str]:
    """The relays in normal form, as they are registered: what is proved is kept under that.

    Raises:
        dg.Failure: none is chosen, or it is not clear which: a click on "Launch" must not undo an archive.
    """
    if bool(config.relays) == config.all_relays:
        raise dg.Failure(
            "Nothing was read again: give either `relays`, or `all_relays: true`.", allow_retries=False
        )
    if config.all_relays:
        return [relay.url for relay in registered_relays(database_url)]
    try:
        return list(dict.fromkeys(parse_relay_url(url).url for url in config.relays))
    except InvalidRelayURL as error:
        raise dg.Failure(f"Nothing was read again: {error}", allow_retries=False) from error


@dg.job(executor_def=dg.in_process_executor)
def resync() -> None:
    """Read a range again: `since` and `relays` (or `all_relays`), and if need be `until` and `filters`.

    What was proved of the range is forgotten first, so a relay's cursor may move back until it is proved again.
    """
    read_again()
