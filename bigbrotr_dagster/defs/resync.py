"""The job `resync`: a range of time is read again, whatever was proved of it."""

from typing import Any

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.defs.assets import judge, sync_and_record
from bigbrotr_dagster.defs.checks import record_checks
from bigbrotr_dagster.defs.resources import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.run_process import canceled_by_a_signal
from bigbrotr_dagster.sync import forget_proof, registered_relays


class Resync(dg.Config):
    """What is read again."""

    since: int = Field(description="First second (Unix time).")
    until: int | None = Field(default=None, description="Last second (Unix time); without it, now.")
    filters: list[dict[str, Any]] | None = Field(
        default=None, description="NIP-01 filters; without them those of the configuration."
    )
    relays: list[str] = Field(default_factory=list, description="Relay URLs; without them every registered relay.")


@dg.op
def read_again(
    context: dg.OpExecutionContext, config: Resync, database: ArchiveDatabase, synchronizer: Synchronizer
) -> None:
    """Forget what is proved of the range under these filters, and sync it; events that are stored stay stored."""
    url = database.ready()
    options = synchronizer.config().with_overrides(since=config.since, until=config.until, filters=config.filters)
    relays = list(dict.fromkeys(config.relays)) or [relay.url for relay in registered_relays(url)]
    forget_proof(url, options, relays)
    with canceled_by_a_signal(context):
        failed = sync_and_record(context, url, options, relays)
    record_checks(context, database, options)
    if failed:
        judge(context, options, failed, asked=len(relays))


@dg.job(executor_def=dg.in_process_executor)
def resync() -> None:
    """Read a range again: `since`, and if need be `until`, `filters` and `relays`, are the op's config.

    What was proved of the range is forgotten first, so a relay's cursor may move back until it is proved again.
    """
    read_again()
