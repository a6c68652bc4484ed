"""The schedule in fast motion: a real archive and real relays, while time is made to pass in the database.

`python -m tests.sync.month [--relays 200] [--hostile 20] [--days 30] [--hours 4]` prints a line a day; the suite
runs a few days of it with few relays.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bigbrotr_dagster.archive.registry import delete_stale_cursors, register_relays
from bigbrotr_dagster.archive.turns import due_relays, unattempted_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.sync import sync_relays
from tests.conftest import in_database
from tests.relays.hostile import DAY, HOUR, MODES, NOW, Cap, HostileRelay, _signed, held, hostile
from tests.sync.clock import clock
from tests.sync.helpers import ask, config, stored_ids

HOSTILE = (
    *("ignores-until", "notice-always", "auth-without-key", "garbage", "damaged-without-seconds"),
    *("silent-every-7th", "refuses-wide-ranges", "cap-1", "random-subset", "giant-event"),
)
"""Modes of the hostile ones, in turn."""

ARCHIVE = {"event", "observation", "relay_key", "relay", "schema_migration"}
"""Tables that may grow with what is archived."""


@dataclass(slots=True)
class Month:
    """What was seen: for each day the rows of each table that is not the archive, and who was left behind."""

    rows: list[dict[str, int]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """An honest relay that a cycle did not sync, with the cycle's number."""
    lost: int = 0
    """Events of honest relays that are not stored in the end."""


def rows(database: str) -> dict[str, int]:
    tables = ask(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        table: ask(database, f"SELECT count(*) FROM {table}")[0][0] for (table,) in tables if table not in ARCHIVE
    }


@asynccontextmanager
async def relays(honest: int, hostile_ones: int) -> AsyncIterator[tuple[list[HostileRelay], list[HostileRelay]]]:
    """So many honest relays of 40 events each, and hostile ones of every kind."""
    async with AsyncExitStack() as stack:
        random = Random(5)
        good = [
            HostileRelay(
                [Cap(100)], 5_000 + number, [held(_signed(random, NOW - DAY * day)) for day in range(2, 42)]
            )
            for number in range(honest)
        ]
        bad = [
            HostileRelay([MODES[HOSTILE[number % len(HOSTILE)]]], 6_000 + number) for number in range(hostile_ones)
        ]
        for relay in (*good, *bad):
            relay.begin_round()
            await stack.enter_async_context(hostile(relay))
        yield good, bad


async def month(
    database: str, honest: int, hostile_ones: int, days: int, hours: int, options: SynchronizerConfig
) -> Month:
    """Live through so many days, a cycle every so many hours: each honest relay gets an event a day."""
    seen, random = Month(), Random(6)
    with clock(database) as now:
        async with relays(honest, hostile_ones) as (good, bad):
            register_relays(database, [relay.url for relay in (*good, *bad)])
            for cycle in range(days * 24 // hours):
                for relay in (*good, *bad):
                    relay.begin_round()
                if cycle % (24 // hours) == 0:
                    for relay in good:
                        relay.hold([held(_signed(random, int(time.time()) - random.randrange(60, HOUR)))])
                due = due_relays(database, options, interval=0.9 * hours * HOUR)
                new = unattempted_relays(database, options)  # the sensor's, in the graph
                urls = [url for network in (*due.values(), *new.values()) for url in network]
                report = await sync_relays(database, options, urls)
                done = {one.url for one in report.relays if one.ok}
                seen.missed += [f"{relay.url} in cycle {cycle}" for relay in good if relay.url not in done]
                now.forward(hours * HOUR)
                if (cycle + 1) % (24 // hours) == 0:
                    delete_stale_cursors(database)
                    seen.rows.append(rows(database))
            for relay in good:
                seen.lost += len({item.id for item in relay.events} - stored_ids(database, relay.url))
    return seen


def growing(seen: Month, since_day: int) -> dict[str, Sequence[int]]:
    """Tables that have more rows at the end than a tenth above what they had on that day, and five."""
    return {
        table: [day[table] for day in seen.rows]
        for table, count in seen.rows[-1].items()
        if count > 1.1 * seen.rows[since_day][table] + 5
    }


def month_options(tasks: int) -> SynchronizerConfig:
    return config(
        networks={"clearnet": {"timeout": 0.5, "max_tasks": tasks, "max_per_host": tasks}},
        timeouts={"max_relay_duration": 10},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("relays", 200), ("hostile", 20), ("days", 30), ("hours", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = embedded.start(Path(folder))
        try:
            database = in_database(server, "month")
            ensure_database(database)
            started = time.monotonic()
            honest = given.relays - given.hostile
            seen = asyncio.run(month(database, honest, given.hostile, given.days, given.hours, month_options(25)))
        finally:
            embedded.leave(Path(folder))
    for number, day in enumerate(seen.rows):
        print(f"day {number + 1}: " + ", ".join(f"{table} {count}" for table, count in sorted(day.items())))
    print(f"grown since the first third: {growing(seen, len(seen.rows) // 3) or 'nothing'}")
    print(f"honest relays missed by a cycle: {len(seen.missed)}; their events lost: {seen.lost}")
    print(f"{given.days} days of {given.relays} relays in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
