"""The data set: a partition for each day, whose materialization writes the day."""

import time
from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.archive.export import ExportRefused, PlaceInUse, export
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY, SYNC_COVERAGE
from bigbrotr_dagster.defs.data_sets.records import EVENT_DAY, of_export
from bigbrotr_dagster.defs.graph import OWNERS, listing
from bigbrotr_dagster.defs.instance.partition_events import RunContext, is_partitioned, log_event, mark_failed
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.run_process import canceled_by_a_signal
from bigbrotr_dagster.defs.settings import configuration
from bigbrotr_dagster.errors import CannotGoOn

MADE_OF = [EVENT, EVENT_RELAY, SYNC_COVERAGE]
"""The tables that days are made of. No new row makes a day look stale: whether it has changed, its events say."""

SINCE = configuration().export.since
"""The first day, as the code location read it when it started: partitions begin there, whatever the file says."""

DAYS = dg.DailyPartitionsDefinition(start_date=SINCE)
"""UTC days that have ended."""

LOOK_AGAIN = 1.0
"""Seconds between two looks whether another export has ended."""

PARENT_TAG = "dagster/parent_run_id"

NOT_CONFIGURED = (
    "No place is named to write to: set `export.to` in the configuration to a folder, or to s3://bucket/prefix "
    "(docs/data-sets.md)."
)


class DaySelection(dg.Config):
    """Which days a run writes.

    Dagster starts no run for some partitions of many. So the sensor's runs bear one day as their partition, and
    name all of them here.
    """

    days: list[str] = Field(
        default_factory=list,
        description="Days (UTC, YYYY-MM-DD) to write in place of the run's partitions.",
    )
    all_due: bool = Field(
        default=False,
        description="Write all days that are due, in place of the run's partitions; so does a run without either.",
    )


@dg.multi_asset(
    name="event_day",
    specs=[
        dg.AssetSpec(
            EVENT_DAY,
            deps=MADE_OF,
            partitions_def=DAYS,
            skippable=True,
            group_name="archive",
            owners=OWNERS,
            kinds={"postgres", "parquet"},
            tags={"bigbrotr/layer": "data_set"},
            metadata={
                "dagster/column_schema": dg.TableSchema(
                    columns=[
                        dg.TableColumn("id", "fixed_size_binary[32]"),
                        dg.TableColumn("pubkey", "fixed_size_binary[32]"),
                        dg.TableColumn("created_at", "int64", description="Unix seconds."),
                        dg.TableColumn("created_at_time", "timestamp[ms, UTC]", description="The same second."),
                        dg.TableColumn("kind", "int32"),
                        dg.TableColumn("tags", "list<list<string>>"),
                        dg.TableColumn("content", "string"),
                        dg.TableColumn("sig", "fixed_size_binary[64]"),
                    ]
                ),
            },
            description=(
                "The events of a UTC day as Parquet files, with who was seen to hold them, and a manifest that "
                "says which relays prove the day. Materializing a partition writes the day anew, whatever is "
                "covered of it; the sensor `export_days_sensor` does so when a day is due. It needs `export.to`."
            ),
        )
    ],
    # A run for each stretch of days: one export at a time writes to a place, so several runs would wait in turn.
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def event_day(
    context: dg.AssetExecutionContext, config: DaySelection, database: ArchiveDatabase, synchronizer: Synchronizer
) -> Iterator[dg.AssetObservation]:
    """Write the days of this run, and record each on its own partition as it is there.

    A generator that yields nothing: by returning it would materialize every partition of the run.
    """
    options = synchronizer.config()
    all_due = config.all_due or not (config.days or is_partitioned(context))
    if options.export.to is None:
        if not all_due:
            raise dg.Failure(NOT_CONFIGURED, allow_retries=False)
        context.log.warning(NOT_CONFIGURED)  # where nothing is written, nothing is due
        return
    days = [] if all_due else list(dict.fromkeys(config.days)) or list(context.partition_keys)
    done = _done_before(context)
    left = [day for day in days if day not in done]
    if left or all_due:
        with canceled_by_a_signal(context):
            refused = _write(context, database.ready(), options, options.export.to, left)
        if refused:
            asked = set(context.partition_keys) if is_partitioned(context) else set()
            mark_failed(context, refused.keys() - asked, EVENT_DAY)
            raise dg.Failure(f"{len(refused)} days were not written\n{listing(refused)}", allow_retries=False)
    yield from ()


def _write(
    context: RunContext, database_url: str, options: SynchronizerConfig, place: str, days: Sequence[str]
) -> dict[str, str | None]:
    """Write these days, or all that are due; returns those that could not be written, and why."""
    refused: dict[str, str | None] = {}

    def note(day: str, error: ExportRefused) -> None:
        refused[day] = str(error)
        context.log.error(f"{day}: {error}")

    waits = False
    while True:
        try:
            for day in export(database_url, options, place, days, first=SINCE, on_refused=note):
                log_event(context, of_export(place, day))
            return refused
        except PlaceInUse as error:  # it is raised before the first day
            if not waits:
                context.log.info(f"{error}; this run waits for its end")
            waits = True
            time.sleep(LOOK_AGAIN)
        except (CannotGoOn, OSError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error


def _done_before(context: RunContext) -> set[str]:
    """The days that were written by the run of which this one is a retry: Dagster starts killed runs again."""
    done: set[str] = set()
    parent = context.run.tags.get(PARENT_TAG) if "dagster/retry_number" in context.run.tags else None
    while parent is not None:
        for entry in context.instance.all_logs(parent, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            if entry.asset_materialization is not None and entry.asset_materialization.partition is not None:
                done.add(entry.asset_materialization.partition)
        run = context.instance.get_run_by_id(parent)
        parent = run.tags.get(PARENT_TAG) if run is not None else None
    return done
