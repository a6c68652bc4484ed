"""The asset that says how relays are, and makes it true by checking them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import (
    OWNERS,
    RELAY_HEALTH,
    RELAY_PARTITIONS,
    RELAYS,
    listing,
)
from bigbrotr_dagster.defs.health.checks import CHECK_SPECS, record_checks
from bigbrotr_dagster.defs.health.records import HealthRecords
from bigbrotr_dagster.defs.instance.partition_events import RunContext, is_partitioned
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer, run_interruptibly
from bigbrotr_dagster.defs.runs.in_flight import OPS, tag_with_relays
from bigbrotr_dagster.defs.runs.run_process import canceled_by_a_signal
from bigbrotr_dagster.discovery.health import (
    HealthReport,
    RelayHealth,
    check_relays,
    known_health,
    relays_due,
)
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url


class HealthSelection(dg.Config):
    """Which relays a run checks."""

    relays: list[str] = Field(
        default_factory=list,
        description="Relay URLs; without them the run's partitions are checked, else all that is due.",
    )


@dg.multi_asset(
    name=OPS[RELAY_HEALTH],
    specs=[
        dg.AssetSpec(
            RELAY_HEALTH,
            deps=[RELAYS],
            partitions_def=RELAY_PARTITIONS,
            skippable=True,
            group_name="archive",
            owners=OWNERS,
            kinds={"postgres", "websocket"},
            tags={"bigbrotr/layer": "health"},
            metadata={
                "dagster/table_name": "relay_metadata",
                "dagster/column_schema": dg.TableSchema(
                    columns=[
                        dg.TableColumn("relay_url", "text", description="The partition's key."),
                        dg.TableColumn("generated_at", "bigint", description="Unix time of the check."),
                        dg.TableColumn("metadata_type", "text", description="nip11_info, nip66_rtt, nip66_ssl, …"),
                        dg.TableColumn("metadata_id", "bytea", description="The document, in table `metadata`."),
                    ]
                ),
            },
            description=(
                "How each relay is: what it says of itself (NIP-11), how long it takes to open and to answer, its "
                "certificate, name and server. Materializing a partition checks the relay, dead or alive; the "
                "newest documents are in `relay_metadata_latest`, as BigBrotr's Monitor has them."
            ),
        )
    ],
    check_specs=CHECK_SPECS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=200),
    can_subset=True,
)
def relay_health(
    context: dg.AssetExecutionContext,
    config: HealthSelection,
    database: ArchiveDatabase,
    synchronizer: Synchronizer,
) -> Iterator[dg.AssetObservation]:
    """Check the relays of this run, and record each on its own partition as it is done.

    A generator that yields nothing: by returning it would materialize every partition of the run.
    """
    url, options = database.ready(), synchronizer.config()
    with canceled_by_a_signal(context):
        urls = list(dict.fromkeys(config.relays)) or _asked_otherwise(context, url, options)
        if "dagster/retry_number" in context.run.tags and not is_partitioned(context):
            urls = _still_due(url, options, urls)
        report = check_and_record(context, url, options, urls)
    record_checks(context, url, options)
    missed = tell(context, report)
    if missed and is_partitioned(context):  # a backfill has no answer for a partition that a run missed
        raise dg.Failure(f"{len(missed)} of {len(urls)} relays were not checked\n{listing(missed)}")
    yield from ()


def _asked_otherwise(context: RunContext, database_url: str, options: SynchronizerConfig) -> list[str]:
    """The relays of a run whose config names none: its partitions, or where it was launched bare, what is due."""
    if is_partitioned(context):
        return list(context.partition_keys)
    due = [url for urls in relays_due(database_url, options).values() for url in urls]
    context.log.info(f"no relay was named, so this run checks what is due: {len(due)} relays")
    return due


def _still_due(database_url: str, options: SynchronizerConfig, urls: Sequence[str]) -> list[str]:
    """Those that a crashed run, which had the same config, has not checked."""
    due = {url for urls in relays_due(database_url, options).values() for url in urls}
    return [url for url in urls if url in due]


def check_and_record(
    context: RunContext, database_url: str, options: SynchronizerConfig, urls: Sequence[str]
) -> HealthReport:
    """Check relays and write their events. Interrupted, it still records every relay that is done."""
    tag_with_relays(context.instance, context.run, urls)
    # A partition that a person added may name its relay in another form than the normal one.
    keys = {_normal_form(url): url for url in urls} if is_partitioned(context) else {}
    before = {health.url: health for health in known_health(database_url, urls)}
    with HealthRecords(context, options, before) as records:

        def take(health: RelayHealth) -> None:
            records.record(replace(health, url=keys.get(health.url, health.url)))

        return run_interruptibly(check_relays(database_url, options, urls, on_report=take))


def _normal_form(key: str) -> str:
    try:
        return parse_relay_url(key).url
    except InvalidRelayURL:
        return key


def tell(context: RunContext, report: HealthReport) -> Mapping[str, str]:
    """What came of the run, in the run's log; returns the relays that were not checked, with the reason."""
    missed = report.missed()
    dead = len(report.relays) - report.alive
    context.log.info(
        f"{report.alive} relays alive, {dead} dead, {len(missed)} not checked, {report.seconds:.1f} s"
    )
    if report.disbelieved:
        context.log.warning(
            f"{len(report.disbelieved)} relays failed and none of their network answered, so nothing was written "
            "of them: is our own network, or the proxy, down?"
        )
    if missed:
        context.log.info(listing(missed))
    return missed
