"""One relay's state, loaded when its sync begins and saved when it ends."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange

from bigbrotr_dagster.storage.ingest import Tally
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection, BlockingConnection
from bigbrotr_dagster.windowing.ages import UNKNOWN_RATE, Rate, Read, read_at
from bigbrotr_dagster.windowing.habits import Habits, is_forgotten
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.retrying import TriedGap, gaps_to_try, retry_after
from bigbrotr_dagster.windowing.tasks import Gap, Unproven


class Nip77(StrEnum):
    """Whether a relay can be reconciled with."""

    UNKNOWN = ""
    SPOKEN = "spoken"
    UNSUPPORTED = "unsupported"
    DISTRUSTED = "distrusted"
    """What it said there was not what it answers a REQ."""


NIP77_MEMORY = 86_400.0
"""Seconds after which a relay that could not be reconciled with may be asked again."""


@dataclass(slots=True)
class SyncState:
    """What is known of one relay: coverage and gaps by filter hash, and its habits.

    `retried`: by filter hash, the gaps whose turn it is to be asked for again. `forgotten`: the restraints that
    the relay had taught us are a day old, and were dropped. `failures`: runs in a row that failed. `read`: by
    filter hash, what was read at which age (`windowing.ages`).
    """

    attempt: int
    covered: dict[str, Coverage]
    gaps: dict[str, list[Gap]]
    habits: Habits
    retried: dict[str, list[Interval]]
    read: dict[str, tuple[Coverage, ...]] = field(default_factory=dict)
    forgotten: bool = False
    failures: int = 0
    went_well: bool = False
    """Whether the sync before this one succeeded."""
    received_before: bool = False
    """Whether the sync before this one brought any event."""
    rate: Rate = UNKNOWN_RATE
    """How many events the relay has got of late."""
    received_lately: float = 0.0
    """Events that the relay sent in the syncs of the last day; `new_lately`: those that were new of it."""
    new_lately: float = 0.0
    nip77: Nip77 = Nip77.UNKNOWN
    learned_nip77: bool = False
    """In this run."""
    observations: int = 0
    """Events that the relay was seen with in all its syncs."""
    compared_from: dict[str, int] = field(default_factory=dict)
    """By filter hash: the first second down to which the old ones are compared. `compared` has this run's."""
    compared: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended, beside what the writer's tally counted."""

    ok: bool
    error: str | None
    events_received: int
    requests: int
    bytes_received: int
    insecure: bool
    interval: float
    """Seconds after which a failed relay is first tried again."""


def claim_values(claims: Sequence[tuple[str, int]]) -> dict[str, list[str] | list[int]]:
    """Parameters of `cursors_beyond_coverage`: what a cursor claims, from a first second on, by filter hash."""
    return {"hashes": [hash for hash, _ in claims], "since": [since for _, since in claims]}


async def begin_attempt(
    connection: AsyncConnection, relay_url: str, run_id: str, claims: Sequence[tuple[str, int]]
) -> SyncState:
    """Record that a sync of this relay begins, and load what is known of it.

    A cursor that `claims` what is not proved (filter hash, first second) is taken back.

    Raises:
        psycopg.Error: the database did not answer.
    """
    url = {"relay_url": relay_url}
    async with connection.transaction():
        beyond = query("cursors_beyond_coverage"), {"urls": [relay_url]} | claim_values(claims)
        if (await connection.execute(*beyond)).rowcount:
            await connection.execute(query("forget_cursor"), url)
        attempt = await (await connection.execute(query("begin_attempt"), url | {"run_id": run_id})).fetchone()
        covered = await (await connection.execute(query("load_coverage"), url)).fetchall()
        rows = await (await connection.execute(query("load_gaps"), url)).fetchall()
        gaps, retried = _gaps(rows)
        if retried:
            await connection.execute(query("note_gap_tries"), url | _as_arrays(retried))
        async with connection.cursor(row_factory=dict_row) as cursor:
            habits = await (await cursor.execute(query("load_habits"), url)).fetchone()
    state = SyncState(attempt[0] if attempt else 0, {}, gaps, Habits(), retried)
    for filter_hash, ranges, read, since, compared_from in covered:
        if compared_from is not None:
            state.compared_from[filter_hash] = compared_from
        state.covered[filter_hash] = _seconds(ranges)
        state.read[filter_hash] = read_at(since) if read is None else tuple(map(_seconds, read))
    if habits is not None:
        state.habits = Habits.restored(habits, habits["age"])
        state.forgotten, state.failures = is_forgotten(habits["age"]), habits["failures"]
        state.went_well = habits["succeeded"] and not state.failures
        state.received_before = habits["received"]
        state.rate = Rate((habits["lately"] + 1) / (habits["in_seconds"] + 1), time.time() - habits["in_seconds"])
        state.observations = habits["observations"]
        state.received_lately, state.new_lately = habits["received_lately"], habits["new_lately"]
        state.nip77 = Nip77(habits["negentropy"])
        if state.nip77 is not Nip77.SPOKEN and habits["negentropy_age"] > NIP77_MEMORY:
            state.nip77 = Nip77.UNKNOWN
    return state


def _seconds(ranges: Multirange[int]) -> Coverage:
    """PostgreSQL's half-open ranges as closed intervals."""
    return Coverage(Interval(part.lower or 0, (part.upper or 0) - 1) for part in ranges)


def _gaps(rows: Sequence[TupleRow]) -> tuple[dict[str, list[Gap]], dict[str, list[Interval]]]:
    """The gaps by filter hash, and those of them whose turn it is to be tried."""
    gaps: dict[str, list[Gap]] = {}
    tried: dict[str, list[TriedGap]] = {}
    for filter_hash, since, until, reason, held, missing, tries, age in rows:
        word, _, detail = reason.partition(": ")
        gap = Gap(Interval(since, until), Unproven(word), held, detail, missing)
        gaps.setdefault(filter_hash, []).append(gap)
        tried.setdefault(filter_hash, []).append(TriedGap(gap.interval, gap.reason, tries, age))
    due = {filter_hash: [gap.interval for gap in gaps_to_try(each)] for filter_hash, each in tried.items()}
    return gaps, {filter_hash: intervals for filter_hash, intervals in due.items() if intervals}


def _as_arrays(intervals: Mapping[str, Sequence[Interval]]) -> dict[str, list[object]]:
    rows = [(filter_hash, part.since, part.until) for filter_hash, parts in intervals.items() for part in parts]
    return {
        "filter_hashes": [row[0] for row in rows],
        "sinces": [row[1] for row in rows],
        "untils": [row[2] for row in rows],
    }


async def running_attempt(connection: AsyncConnection, relay_url: str) -> tuple[str, datetime] | None:
    """The run that is syncing a relay, as far as is known, and since when.

    Raises:
        psycopg.Error: the database did not answer.
    """
    cursor = await connection.execute(query("running_attempt"), {"relay_url": relay_url})
    return await cursor.fetchone()


async def finish_attempt(
    connection: AsyncConnection,
    relay_url: str,
    state: SyncState,
    result: AttemptResult,
    tally: Tally,
    read: Mapping[str, Read],
) -> None:
    """Record how the sync ended, what was learned, and by filter hash what was read at which age.

    Raises:
        psycopg.Error: the database did not answer.
    """
    counts = {
        "id": state.attempt,
        "ok": result.ok,
        "error": result.error,
        "events_received": result.events_received,
        "events_new": tally.events_new,
        "events_known": tally.events_known,
        "events_rejected": Jsonb(dict(tally.rejected)),
        "observations_new": tally.observations_new,
        "late_events": tally.late_events,
        "late_by": Jsonb(dict(tally.late_by)),
        "events_claimed": tally.events_claimed,
        "events_gone": tally.events_gone,
        "requests": result.requests,
        "bytes_received": result.bytes_received,
    }
    failures, chance = 0 if result.ok else state.failures + 1, secrets.randbelow(1_000) / 1_000
    learned = state.habits.remembered() | {
        "relay_url": relay_url,
        "ok": result.ok,
        "insecure": result.insecure,
        "forgotten": state.forgotten,
        "failures": failures,
        "retry_after": retry_after(failures, result.interval, chance) if failures else None,
        "negentropy": state.nip77.value,
        "negentropy_is_new": state.learned_nip77,
    }
    async with connection.transaction():
        await connection.execute(query("finish_attempt"), counts)
        await connection.execute(query("save_limits"), learned)
        for filter_hash, by_age in read.items():
            values = {"read_at_ages": [_multirange(part) for part in by_age]}
            await connection.execute(
                query("save_ages"), values | {"relay_url": relay_url, "filter_hash": filter_hash}
            )
        for filter_hash, first in state.compared.items():
            place = {"since": first, "relay_url": relay_url, "filter_hash": filter_hash}
            await connection.execute(query("save_compared"), place)


def _multirange(seconds: Coverage) -> str:
    """As PostgreSQL writes it: psycopg has no way to send several in one array."""
    return "{" + ",".join(f"[{part.since},{part.until}]" for part in seconds) + "}"


def fresh_relays(connection: BlockingConnection, urls: Sequence[str], interval: float) -> list[str]:
    """Those of `urls` whose last success is less than `interval` seconds ago.

    Raises:
        psycopg.Error: the database did not answer.
    """
    values = {"urls": list(urls), "interval": interval}
    return [url for (url,) in connection.execute(query("fresh_relays"), values)]


async def begin_cycle(connection: AsyncConnection, run_id: str, relays: int) -> None:
    """Note that a run begins to sync so many relays.

    Raises:
        psycopg.Error: the database did not answer.
    """
    await connection.execute(query("begin_cycle"), {"run_id": run_id, "relays": relays})


async def finish_cycle(connection: AsyncConnection, run_id: str, *, ok: bool) -> None:
    """Note that it has ended; `ok` is false where it was stopped before it was done.

    Raises:
        psycopg.Error: the database did not answer.
    """
    await connection.execute(query("finish_cycle"), {"run_id": run_id, "ok": ok})
