"""One relay's state, loaded when its sync begins and saved when it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.types.json import Jsonb

from bigbrotr_dagster.storage.ingest import Tally
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, Connection
from bigbrotr_dagster.windowing import Coverage, Gap, Habits, Interval, Order
from bigbrotr_dagster.windowing.habits import TELLING, Access, Rung
from bigbrotr_dagster.windowing.tasks import Unproven


@dataclass(frozen=True, slots=True)
class Rotation:
    """Which old window was read again last: its first second, and how many seconds the next one has."""

    audited_from: int | None = None
    seconds: int = 86_400


@dataclass(slots=True)
class SyncState:
    """What is known of one relay: coverage and gaps by filter hash, and its habits.

    `retried`: by filter hash, the gaps whose turn it is to be asked for again. `forgotten`: the restraints that
    the relay had taught us are a day old, and were dropped. `failures`: runs in a row that failed.
    """

    attempt: int
    covered: dict[str, Coverage]
    gaps: dict[str, list[Gap]]
    habits: Habits
    retried: dict[str, list[Interval]]
    rotations: dict[str, Rotation] = field(default_factory=dict)
    forgotten: bool = False
    failures: int = 0
    went_well: bool = False
    """Whether the sync before this one succeeded."""
    received_before: bool = False
    """Whether the sync before this one brought any event."""


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
    connection: Connection, relay_url: str, run_id: str, claims: Sequence[tuple[str, int]]
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
        retried = await (await connection.execute(query("retry_gap"), url)).fetchall()
        gaps = await (await connection.execute(query("load_gaps"), url)).fetchall()
        habits = await (await connection.execute(query("load_habits"), url)).fetchone()
    state = SyncState(attempt[0] if attempt else 0, {}, {}, Habits(), {})
    for filter_hash, ranges, audited_from, seconds in covered:
        state.covered[filter_hash] = Coverage(Interval(part.lower, part.upper - 1) for part in ranges)
        state.rotations[filter_hash] = Rotation(audited_from, seconds)
    for filter_hash, since, until, reason, held, missing in gaps:
        word, _, detail = reason.partition(": ")
        gap = Gap(Interval(since, until), Unproven(word), held, detail, missing)
        state.gaps.setdefault(filter_hash, []).append(gap)
    for filter_hash, since, until in retried:
        state.retried.setdefault(filter_hash, []).append(Interval(since, until))
    if habits:
        (
            largest,
            cut_at,
            since_exclusive,
            until_exclusive,
            order,
            cut_pages,
            hides,
            *restraints,
            forgotten,
            failures,
            succeeded,
            grace,
            restricted,
            received,
        ) = habits
        if forgotten and cut_at is not None and cut_at < largest:  # a short answer may have been short by chance
            cut_at = None
        state.habits = Habits(largest, cut_at, since_exclusive, until_exclusive)
        state.forgotten, state.failures = forgotten, failures
        state.went_well = succeeded and not failures
        state.habits.grace, state.received_before = grace, received
        state.habits.restricted = Access(restricted)
        if not forgotten:
            rung, state.habits.limit, state.habits.pause = restraints
            state.habits.order, state.habits.rung = Order(order), Rung(rung)
            state.habits.cut_pages, state.habits.hides = cut_pages, hides
            state.habits.checked = TELLING if cut_pages > 1 else 0
    return state


async def running_attempt(connection: Connection, relay_url: str) -> tuple[str, datetime] | None:
    """The run that is syncing a relay, as far as is known, and since when.

    Raises:
        psycopg.Error: the database did not answer.
    """
    cursor = await connection.execute(query("running_attempt"), {"relay_url": relay_url})
    return await cursor.fetchone()


async def finish_attempt(
    connection: Connection,
    relay_url: str,
    state: SyncState,
    result: AttemptResult,
    tally: Tally,
    rotations: Mapping[str, Rotation],
) -> None:
    """Record how the sync ended, what was learned, and which old windows were read again (by filter hash).

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
        "requests": result.requests,
        "bytes_received": result.bytes_received,
    }
    habits = state.habits
    learned = {
        "relay_url": relay_url,
        "ok": result.ok,
        "insecure": result.insecure,
        "largest": habits.largest,
        "cut_at": habits.cut_at,
        "since_exclusive": habits.since_exclusive,
        "until_exclusive": habits.until_exclusive,
        "order": habits.order,
        "cut_pages": habits.cut_pages,
        "hides": habits.hides,
        "rung": habits.rung,
        "request_limit": habits.limit,
        "pause": habits.pause,
        "eose_grace": habits.grace,
        "restricted": habits.restricted,
        "forgotten": state.forgotten,
        "interval": result.interval,
    }
    async with connection.transaction():
        await connection.execute(query("finish_attempt"), counts)
        await connection.execute(query("save_limits"), learned)
        for filter_hash, rotation in rotations.items():
            values = {"audited_from": rotation.audited_from, "seconds": rotation.seconds}
            await connection.execute(
                query("save_rotation"), values | {"relay_url": relay_url, "filter_hash": filter_hash}
            )


def fresh_relays(connection: BlockingConnection, urls: Sequence[str], interval: float) -> list[str]:
    """Those of `urls` whose last success is less than `interval` seconds ago.

    Raises:
        psycopg.Error: the database did not answer.
    """
    values = {"urls": list(urls), "interval": interval}
    return [url for (url,) in connection.execute(query("fresh_relays"), values)]
