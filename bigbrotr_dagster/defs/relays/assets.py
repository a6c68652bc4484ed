"""The graph: the registry of relays, and how far each of them is archived."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.archive.registry import registered_relays
from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive import OPEN_GAPS
from bigbrotr_dagster.defs.discovery import relay_validated
from bigbrotr_dagster.defs.graph import (
    OWNERS,
    RELAY_CURSOR,
    RELAY_PARTITIONS,
    RELAYS,
    fresh_within_hours,
    listing,
)
from bigbrotr_dagster.defs.instance.partition_events import RunContext, is_partitioned, mark_failed
from bigbrotr_dagster.defs.relays.checks import record_checks
from bigbrotr_dagster.defs.relays.configuration import configuration_metadata
from bigbrotr_dagster.defs.relays.records import REACHABLE, RelayRecords
from bigbrotr_dagster.defs.relays.registered import registry_metadata
from bigbrotr_dagster.defs.relays.run_options import options_of_run
from bigbrotr_dagster.defs.relays.skipped import SkippedRelays
from bigbrotr_dagster.defs.runs import REGISTRY_VERSION, ArchiveDatabase, Synchronizer, run_interruptibly
from bigbrotr_dagster.defs.runs.in_flight import tag_with_relays
from bigbrotr_dagster.defs.runs.run_process import canceled_by_a_signal, own_place
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.sync import BUSY_WAIT, LEFT_OUT_NAMED, CycleReport, RelayReport, sync_relays

PARTITION_WAIT = 60.0
"""Seconds that a run of partitions waits for a relay that another process is syncing: somebody asked for it."""


class RelaySelection(dg.Config):
    """Which relays a run syncs, and which part of them; what is not given comes from the configuration."""

    relays: list[str] = Field(
        default=[],
        description="Relay URLs; without them the run's partitions are synced, and without these all that is due.",
    )
    since: int | None = Field(default=None, description="First second to archive (Unix time).")
    until: int | None = Field(default=None, description="Last second to archive (Unix time).")
    filters: list[dict[str, Any]] | None = Field(default=None, description="NIP-01 filters.")
    allow_private: bool | None = Field(
        default=None,
        description="false: ask no relay at a loopback or private address. The configuration alone can allow it.",
    )


@dg.asset(
    key=RELAYS,
    deps=[relay_validated],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"bigbrotr/layer": "registry"},
    metadata={
        "dagster/table_name": "relay",
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn("url", "text", description="Normal form; also the partition's key."),
                dg.TableColumn("network", "text", description="clearnet, tor, i2p, loki or local."),
                dg.TableColumn("discovered_at", "bigint", description="Unix time of the registration."),
            ]
        ),
    },
)
def relays(database: ArchiveDatabase) -> dg.MaterializeResult:
    """Every relay that this archive follows: the table `relay`, one row for each partition of `relay_cursor`.

    The job `add_relays` registers some, as do a partition that is added to `relay_cursor`, the command
    `bigbrotr-dagster relays add URL`, and `relay_validated` for what it finds; the sensor `relay_partitions` gives
    each its partition. The metadata have the options that its syncs go by.
    """
    metadata = registry_metadata(registered_relays(database.ready())) | configuration_metadata()
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(REGISTRY_VERSION))


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            RELAY_CURSOR,
            deps=[relays],
            partitions_def=RELAY_PARTITIONS,
            skippable=True,
            group_name="archive",
            owners=OWNERS,
            kinds={"postgres", "websocket"},
            tags={"bigbrotr/layer": "events"},
            freshness_policy=fresh_within_hours(1, 6),
            metadata={
                "dagster/table_name": "service_state",
                "dagster/column_schema": dg.TableSchema(
                    columns=[
                        dg.TableColumn("service_name", "text", description="'synchronizer' for ours."),
                        dg.TableColumn("state_type", "text", description="'cursor' for these rows."),
                        dg.TableColumn("state_key", "text", description="The relay's URL: the partition's key."),
                        dg.TableColumn("state_value", "jsonb", description='{"timestamp": …, "id": …}'),
                    ]
                ),
            },
            description=(
                "How far each relay is archived. Materializing a partition makes it true: the relay's events are "
                "paged into `event` and `event_relay`, and its cursor moves to the end of what is covered. "
                "What the relay would not give is a named gap. There are no partitions yet? The job `add_relays` "
                "registers relays, and so does adding a partition here."
            ),
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            REACHABLE,
            asset=RELAY_CURSOR,
            description=(
                "The last sync of this relay ended without an error; the description says which one. It is "
                "evaluated when a sync fails, and when one succeeds after that; in a run of partitions, always; "
                "after a run for all relays: at most a `failed_share` of them failed in their last sync."
            ),
        ),
        dg.AssetCheckSpec(
            OPEN_GAPS,
            asset=RELAY_CURSOR,
            description=(
                "The relay has no open gap: seconds of which it could not be proved that all is stored. It "
                "is evaluated for a relay that has gaps, and when the last one is settled; "
                "after a run for all relays."
            ),
        ),
    ],
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=50),
    can_subset=True,
)
def relay_cursor(
    context: dg.AssetExecutionContext,
    config: RelaySelection,
    database: ArchiveDatabase,
    synchronizer: Synchronizer,
) -> Iterator[dg.AssetObservation]:
    """Sync the relays of this run, and record each on its own partition as it is done.

    A generator that yields nothing: by returning it would materialize every partition of the run.
    """
    url = database.ready()
    configured = synchronizer.config()
    if config.allow_private and not configured.allow_private:
        raise dg.Failure("allow_private: a run's config cannot allow what the configuration does not")
    options = options_of_run(
        configured,
        since=config.since,
        until=config.until,
        filters=config.filters,
        allow_private=config.allow_private,
    )
    with canceled_by_a_signal(context):
        urls = list(dict.fromkeys(config.relays)) or _asked_otherwise(context, url, options)
        missed = sync_and_record(context, url, options, urls)
    record_checks(context, database, options)
    if missed:
        judge(context, options, missed, asked=len(urls))
    yield from ()


def _asked_otherwise(
    context: dg.AssetExecutionContext, database_url: str, options: SynchronizerConfig
) -> list[str]:
    """The relays of a run whose config names none: its partitions, or where it was launched bare, what is due."""
    if is_partitioned(context):
        return list(context.partition_keys)
    due = [url for urls in due_relays(database_url, options).values() for url in urls]
    context.log.info(f"no relay was named, so this run syncs what is due: {len(due)} relays")
    return due


def sync_and_record(
    context: RunContext, database_url: str, options: SynchronizerConfig, urls: Sequence[str]
) -> list[RelayReport]:
    """Sync the relays and write their events; returns the reports of those that the run has to answer for.

    These are the relays that failed; in a run of partitions also those that were not tried, for want of time or
    because another process was syncing them. Interrupted (Terminate in the UI, SIGTERM), it still records every
    relay that is done.
    """
    # A retry has the same config: what the crashed run finished is not asked again.
    is_retry = "dagster/retry_number" in context.run.tags
    tag_with_relays(context.instance, context.run, urls)
    skipped = SkippedRelays(context, database_url, urls)
    # A partition that a person added may name its relay in another form than the normal one.
    keys = {_normal_form(url): url for url in skipped.left} if is_partitioned(context) else {}
    with RelayRecords(context) as records:

        def take(report: RelayReport) -> None:
            report = replace(report, url=keys.get(report.url, report.url))
            (skipped.take if skipped.takes(report) else records.record)(report)

        cycle = run_interruptibly(
            sync_relays(
                database_url,
                options,
                skipped.left,
                run_id=context.run.run_id,
                on_report=take,
                skip_fresh=is_retry,
                busy_wait=PARTITION_WAIT if is_partitioned(context) else BUSY_WAIT,
                room_wait=inf if is_partitioned(context) else None,
            )
        )
        missed = [report for report in cycle.failed if not skipped.takes(report)]
        if is_partitioned(context):
            missed += cycle.busy
            missed += left_out(keys, cycle, records)
    skipped.record()
    tell(context, cycle)
    return missed


def _normal_form(key: str) -> str:
    """The URL that a report on this relay bears."""
    try:
        return parse_relay_url(key).url
    except InvalidRelayURL:
        return key


def tell(context: RunContext, cycle: CycleReport) -> None:
    """What came of the run, in the run's log."""
    failed, busy = sum(not report.skipped for report in cycle.failed), len(cycle.busy)
    synced = len(cycle.relays) - len(cycle.failed) - busy
    counts = f"{synced} relays synced, {failed} failed, {busy} busy, {len(cycle.left_out)} left out"
    context.log.info(f"{counts}, in {cycle.seconds:.1f} s, {own_place()}")
    if cycle.left_out:
        named = "\n".join(cycle.left_out[:LEFT_OUT_NAMED])
        why = "No time was left for these, or no room at their host; they come first next time"
        context.log.info(f"{why}\n{named}")
    if cycle.busy:
        told = listing({report.url: report.error for report in cycle.busy})
        whose = "the processes that sync them already"
        context.log.info(f"{busy} of {cycle.asked} relays were left to {whose}\n{told}")


def left_out(keys: Mapping[str, str], cycle: CycleReport, records: RelayRecords) -> list[RelayReport]:
    """Reports on the relays that `max_duration` left no time for: a run of partitions has to answer for each.

    `keys` are the partitions by the URL that a report bears.
    """
    error = "not tried: max_duration was over"
    reports = [RelayReport(keys.get(url, url), "unknown", ok=False, error=error) for url in cycle.left_out]
    for report in reports:
        records.record(report)
    return reports


def judge(context: RunContext, options: SynchronizerConfig, missed: Sequence[RelayReport], asked: int) -> None:
    """Fail the run, or let it pass with what failed recorded on the relays' partitions.

    A backfill has no answer for a partition that a successful run missed, so a run of partitions fails on any
    miss. About one relay in twenty is dead at any time, so a scheduled batch fails past a share of them only.
    """
    summary = f"{len(missed)} of {asked} relays failed"
    if all(report.busy for report in missed):
        summary = f"{len(missed)} of {asked} relays are being synced by other runs, which record them"
    told = listing({report.url: report.error for report in missed})
    description = told if all(report.skipped for report in missed) else f"{summary}\n{told}"
    if not is_partitioned(context):
        if len(missed) <= options.failed_share * asked:
            context.log.warning(description)
            return
        mark_failed(context, [report.url for report in missed], RELAY_CURSOR)
    raise dg.Failure(description=description, metadata={"failed": len(missed), "asked": asked})
