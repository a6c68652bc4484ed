"""What it costs to find the days that are due: by the sensor, and by an `AutomationCondition` that asks the same.

    python -m tests.benchmarks.event_day --days 2000

An archive of so many days with 100 events each, two observations an event, 500 relays that prove all of it; on
Debian's PostgreSQL 15. The manifests of all days are in a folder. Told is the CPU of a tick, of this process and
of PostgreSQL, which has Dagster's database, too: while it is not time to look, where nothing is due, and where
three days are. Then the bytes of event log that a run leaves for each day.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
from dagster_shared.serdes import serialize_value

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.queries import query
from tests.archive.exported import ALL, DAY, exported, put_events, see
from tests.benchmarks.metering import cpu_seconds
from tests.benchmarks.usage import cpu_of
from tests.conftest import in_database
from tests.postgres15 import postgres15

EVENTS_A_DAY, RELAYS, REPEAT = 100, 500, 5
FIRST_DAY, FIRST = "2021-01-01", 1_609_459_200


def fill(database: str, days: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)"
            " SELECT sha256(n::text::bytea), sha256('a'), %s + n * (%s / %s), 1, '[]', '{}', repeat('x', 200),"
            " sha256('a') || sha256('b') FROM generate_series(0, %s - 1) AS n",
            [FIRST, DAY, EVENTS_A_DAY, days * EVENTS_A_DAY],
        )
        connection.execute(
            "INSERT INTO relay_key (url)"
            f" SELECT 'wss://' || n || '.example.com' FROM generate_series(1, {RELAYS}) AS n"
        )
        connection.execute(
            "INSERT INTO observation (event_seq, seen_at, relay_id)"
            f" SELECT seq, created_at + 60 * n, 1 + (seq * 7 + n * 13) % {RELAYS}"
            " FROM event, generate_series(0, 1) AS n"
        )
        connection.execute("VACUUM ANALYZE")
    register_relays(database, [f"wss://{number}.example.com" for number in range(1, RELAYS + 1)])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered)"
            " SELECT url, %s, '{}', int8multirange(int8range(0, %s)) FROM relay",
            [ALL, FIRST + (days + 1) * DAY],
        )


def write_manifests(database: str, data: Path) -> None:
    """Let all days be there as a look sees them: by their manifests."""
    with psycopg.connect(database) as connection:
        values = {"since": FIRST, "until": FIRST + 9_999 * DAY}
        rows = connection.execute(query("day_totals"), values).fetchall()
    template = json.loads((data / f"manifest/date={FIRST_DAY}.json").read_bytes())
    for number, *totals in rows:
        day = datetime.fromtimestamp(number * DAY, UTC).strftime("%Y-%m-%d")
        names = ("events", "largest_seq", "observations", "latest_seen_at")
        text = json.dumps(template | {"totals": dict(zip(names, totals, strict=True))})
        (data / f"manifest/date={day}.json").write_text(text)


class Cost:
    """CPU seconds, of this process and of PostgreSQL."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server

    def of(self, what: str, work: Callable[[], object]) -> None:
        """Do it some times over, and tell what it took in the middle; the first time is a warm-up."""
        work()
        taken = []
        for _ in range(REPEAT):
            before = cpu_seconds(), cpu_of(self._server)
            work()
            taken.append((cpu_seconds() - before[0], cpu_of(self._server) - before[1]))
        ours, servers = (sorted(each)[REPEAT // 2] for each in zip(*taken, strict=True))
        print(f"{what}: {1000 * ours:.0f} ms, and {1000 * servers:.0f} ms of PostgreSQL", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.event_day")
    parser.add_argument("--days", type=int, default=2_000)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder) / "server") as server:
        database = in_database(server.url, "bigbrotr")
        ensure_database(database)
        fill(database, days)
        data, config = Path(folder) / "data", Path(folder) / "synchronizer.yaml"
        config.write_text(json.dumps({"export": {"to": str(data), "since": FIRST_DAY}}))
        os.environ |= {
            "BIGBROTR_DATABASE_URL": database,
            "BIGBROTR_CONFIG": str(config),
            "BIGBROTR_DATA_DIR": folder,
        }
        os.environ.pop("DAGSTER_HOME", None)
        [day] = exported(database, data, [FIRST_DAY])
        print(f"{day.events} events a day", flush=True)
        write_manifests(database, data)
        cost = Cost(psutil.Process(int((server.folder / "data/postmaster.pid").read_text().split()[0])))
        measure(cost, database)


def measure(cost: Cost, database: str) -> None:
    from bigbrotr_dagster.archive.export import look
    from bigbrotr_dagster.config import load_config
    from bigbrotr_dagster.defs.instance import prepare_home

    os.environ["DAGSTER_HOME"] = str(prepare_home())
    options = load_config()
    place = str(options.export.to)
    with dg.DagsterInstance.get() as instance:
        record(instance, database)
        cost.of("compare all days (once a day, in a run)", lambda: look(database, options, place))
        for what in ("nothing is due", "three days are"):
            if what == "three days are":
                late = put_events(database, [(FIRST + n * 500 * DAY, "late", []) for n in range(3)])
                see(database, late, "wss://1.example.com", FIRST + 9_999 * DAY)
            by_sensor(cost, instance, what)
            by_condition(cost, instance, what)
        event_log(instance, database)


def record(instance: dg.DagsterInstance, database: str) -> None:
    """Let Dagster know of all the days, as the sensor does."""
    from bigbrotr_dagster.archive.export import look
    from bigbrotr_dagster.config import load_config
    from bigbrotr_dagster.defs.data_sets.records import of_manifest

    options = load_config()
    there = look(database, options, str(options.export.to)).written
    for day, manifest in there.items():
        instance.report_runless_asset_event(of_manifest(str(options.export.to), day, manifest))


@contextmanager
def sensor_context(instance: dg.DagsterInstance, cursor: str) -> Any:
    from bigbrotr_dagster.definitions import defs

    with dg.build_sensor_context(
        instance=instance,
        resources=defs.resources or {},
        definitions=defs,
        sensor_name="export_days_sensor",
        cursor=cursor,
    ) as context:
        yield context


def by_sensor(cost: Cost, instance: dg.DagsterInstance, what: str) -> None:
    from bigbrotr_dagster.defs.data_sets import export_days_sensor

    now = FIRST + 9_998 * DAY  # what was seen since then is late

    def tick(cursor: str) -> Any:
        with sensor_context(instance, cursor) as context:
            return export_days_sensor.evaluate_tick(context)

    if what == "nothing is due":
        cost.of("sensor, before it is time", lambda: tick(f"0 {2**40} {2**40}"))
    cost.of(f"sensor, {what}", lambda: tick(f"{now} 0 {2**40}"))
    asked = tick(f"{now} 0 {2**40}").run_requests or []
    named = sum(len(one.run_config["ops"]["event_day"]["config"]["days"]) for one in asked)
    print(f"    {len(asked)} runs, {named} days", flush=True)


class IsDue(dg.AutomationCondition):  # type: ignore[type-arg]
    """Days that the sensor's look finds."""

    @property
    def name(self) -> str:
        return "is_due"

    def get_label(self) -> str:
        return "is_due"

    def evaluate(self, context: Any) -> Any:
        from bigbrotr_dagster.archive.export import look
        from bigbrotr_dagster.config import load_config

        if context.candidate_subset.is_empty:  # a condition before this one says so already
            return dg.AutomationResult(context, true_subset=context.get_empty_subset())
        options = load_config()
        found = look(
            os.environ["BIGBROTR_DATABASE_URL"],
            options,
            str(options.export.to),
            first=FIRST_DAY,
            seen_since=FIRST + 9_998 * DAY,
        )
        view = context.asset_graph_view
        subset = view.get_subset_from_partition_keys(context.key, context.partitions_def, set(found.days))
        return dg.AutomationResult(context, true_subset=subset)


def by_condition(cost: Cost, instance: dg.DagsterInstance, what: str) -> None:
    from bigbrotr_dagster.definitions import defs
    from bigbrotr_dagster.defs.data_sets import event_day

    def condition(cron: str) -> Any:
        return dg.AutomationCondition.cron_tick_passed(cron) & IsDue() & ~dg.AutomationCondition.in_progress()

    def given(condition: Any) -> Any:
        changed = event_day.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=condition))
        return dg.Definitions(assets=[changed], resources=defs.resources)

    selection = dg.AssetSelection.assets("event_day")
    rarely, often = given(condition("0 0 1 1 *")), given(IsDue() & ~dg.AutomationCondition.in_progress())

    def tick(definitions: dg.Definitions, cursor: Any = None) -> Any:
        return dg.evaluate_automation_conditions(definitions, instance, selection, cursor=cursor)

    if what == "nothing is due":
        before = tick(rarely)
        cost.of("condition, before it is time", lambda: tick(rarely, before.cursor))
    before = tick(often)
    cost.of(f"condition, {what}", lambda: tick(often, before.cursor))
    after = tick(often, before.cursor)
    evaluations = sum(len(serialize_value(one.serializable_evaluation)) for one in after.results)
    cursor = len(serialize_value(after.cursor))
    print(f"    {after.total_requested} days; a tick keeps {cursor} bytes of cursor, {evaluations} of evaluation")


def event_log(instance: dg.DagsterInstance, database: str) -> None:
    """The sensor's runs name days in their config; a condition's name a range of partitions."""
    from bigbrotr_dagster.definitions import defs

    job = defs.resolve_job_def("export_days")
    days = [f"2022-01-{number:02}" for number in range(1, 31)]
    in_config = {"ops": {"event_day": {"config": {"days": days}}}}
    bounds = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    for what, options in (
        ("by config", {"run_config": in_config, "partition_key": days[0]}),
        ("by a range", {"tags": bounds}),
    ):
        run = job.execute_in_process(instance=instance, **options)
        size = sum(len(serialize_value(entry)) for entry in instance.all_logs(run.run_id))
        print(f"a run of {len(days)} days {what}: {size:,} bytes of event log, {size / len(days):,.0f} a day")


if __name__ == "__main__":
    main()
