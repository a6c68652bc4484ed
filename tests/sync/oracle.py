"""What a hostile relay would give to a patient asker, and whether the archive kept its promise about it."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, count
from random import Random

import psycopg

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.sync import RelayReport, sync_relays
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from tests.conftest import in_database
from tests.machine import crowding
from tests.nostr.helpers import KEY
from tests.relays.hostile import (
    MAX_EVENT_SIZE,
    MODES,
    RARE_KINDS,
    RESTRICTED_KINDS,
    WHOLE,
    Arriving,
    AuthRequired,
    Crowded,
    Damaged,
    Garbage,
    Held,
    HostileRelay,
    IgnoresSince,
    IgnoresUntil,
    Mode,
    NothingBut,
    NoticeEvery,
    OldestFirst,
    RandomSubset,
    RefusesEverything,
    Restricted,
    hostile,
)
from tests.relays.reconciling import Negentropy
from tests.sync.helpers import READ_AGAIN, ask, config, stored_ids, tell, unread

ROUND_TRIP = 0.05
"""Seconds: how far the relays are that are far."""

ROUNDS = 5
ROUND_SECONDS = 60
"""A sync is told to stop after so long on an idle machine (`max_duration`); what is left stays pending.

The slowest relays, which leave every seventh REQ unanswered, need most of it. What a sync costs its REQs bound.
"""

KEY_VARIABLE = "HOSTILE_RELAY_TEST_KEY"
"""Environment variable with our private key; relays that shall not know us are synced without it."""

_numbers = count()


@dataclass(slots=True)
class Verdict:
    """One relay after its syncs; the promise is kept if nothing is in `broken`."""

    name: str
    broken: list[str] = field(default_factory=list)
    missing: int = 0
    asked: list[int] = field(default_factory=list)
    budget: int = 0
    seconds: float = 0.0
    error: str | None = None
    gaps: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        state = "FAIL" if self.broken else "ok"
        asked = "+".join(map(str, self.asked))
        line = f"{state:4} {self.name:45} missing {self.missing:4} REQs {asked}/{self.budget} {self.seconds:.1f} s"
        return " | ".join([line, *self.broken, *self.gaps, *([self.error] if self.error else [])])


@dataclass(frozen=True, slots=True)
class Archive:
    """What the database says about one relay (and its only filter)."""

    stored: set[str]
    quarantined: set[str]
    covered: Coverage
    gaps: Coverage
    reasons: list[str]


def archive(database: str, url: str) -> Archive:
    all_kinds = f"WHERE relay_url = '{url}' AND filter = '{{}}'"  # kinds asked for by number are another filter
    covered = ask(database, f"SELECT unnest(covered) FROM sync_coverage {all_kinds}")
    gaps = ask(database, f"SELECT since, until, reason FROM sync_gap WHERE relay_url = '{url}' ORDER BY since")
    quarantined = ask(database, f"SELECT event_id FROM event_quarantine WHERE relay_url = '{url}'")
    return Archive(
        stored_ids(database, url),
        {row[0] for row in quarantined},
        Coverage(Interval(span.lower, span.upper - 1) for (span,) in covered),
        Coverage(Interval(since, until) for since, until, _ in gaps),
        [f"gap {reason} [{since}, {until}]" for since, until, reason in gaps],
    )


def given(relay: HostileRelay, end: int) -> list[Held]:
    """The events up to `end` that a patient asker gets, forged ones among them, but none that cannot be known."""
    removed = RESTRICTED_KINDS if any(isinstance(mode, Restricted) for mode in relay.modes) else frozenset()
    held = [item for item in relay.events if item.known and item.created_at <= end]
    return [item for item in held if item.event.kind not in removed]


def warranted(relay: HostileRelay) -> Coverage:
    """The widest gaps that the relay's truth allows."""
    seconds = [item.created_at for item in relay.events]
    crowds = {second for second in seconds if seconds.count(second) >= relay.saturates_at}
    allowed = Coverage(Interval(second, second) for second in crowds)
    for mode in relay.modes:
        allowed |= mode.warrants(relay)
    return WHOLE if _cannot_advance(relay) or _claims_rubbish(relay) else allowed


def _claims_rubbish(relay: HostileRelay) -> bool:
    """It says that it holds (NIP-77) what comes as something else: that is withheld, and lies anywhere."""
    kinds = {type(mode) for mode in relay.modes}
    return Garbage in kinds and any(issubclass(kind, Negentropy) for kind in kinds)


def _cannot_advance(relay: HostileRelay) -> bool:
    """A bound is ignored on the very side where the answers are cut: no window brings more than the first did."""
    kinds = {type(mode) for mode in relay.modes}
    always_damaged = {IgnoresUntil, Damaged} <= kinds  # the newest answer, which is all that it ever gives
    return always_damaged or bool(kinds & {OldestFirst, RandomSubset} and kinds & {IgnoresSince, IgnoresUntil})


def must_be_held(relay: HostileRelay, item: Held) -> bool:
    """Whether a gap is no excuse for this event, for it is easily had (asked of single modes only)."""
    [mode] = relay.modes
    if isinstance(mode, RefusesEverything):
        return item.event.kind not in RARE_KINDS
    return isinstance(mode, NoticeEvery) and mode.every > 1


async def synced(database: str, relay: HostileRelay, name: str) -> Verdict:
    """Sync the relay until it has nothing pending, at most five times, and judge the outcome."""
    verdict = Verdict(name, budget=relay.budget)
    started = time.monotonic()
    end = 0
    async with hostile(relay):
        for _ in range(ROUNDS):
            relay.begin_round()
            if any(isinstance(mode, Negentropy) for mode in relay.modes):
                known_to_speak(database, relay.url)
            unread(database, relay.url)
            end = int(time.time()) - 1
            seconds = ROUND_SECONDS * crowding()
            report = await _sync(database, relay, seconds)
            verdict.error = report.error
            if report.error is not None and report.error.startswith("internal error"):
                verdict.broken.append("internal error")
            if report.seconds > seconds + 5 * crowding():
                verdict.broken.append(f"a sync of {report.seconds:.0f} s")
            if report.ok and not report.pending_seconds and not _is_busy(relay):
                break
    verdict.seconds = time.monotonic() - started
    verdict.asked = relay.asked
    verdict.budget = relay.budget
    _judge(database, relay, end, verdict, report.without_kinds)
    return verdict


def known_to_speak(database: str, url: str) -> None:
    """Let the next sync reconcile: it is not tried with a relay of which so few events are known."""
    tell(
        database,
        f"INSERT INTO relay_limits (relay_url, negentropy, negentropy_at) VALUES ('{url}', 'spoken', now())"
        " ON CONFLICT (relay_url) DO UPDATE SET negentropy = 'spoken', negentropy_at = now()",
    )


def _is_busy(relay: HostileRelay) -> bool:
    if any(isinstance(mode, Negentropy) for mode in relay.modes) and relay.round < 2:
        return True  # what a first sync reads is not compared
    return any(isinstance(mode, Arriving) and relay.round < mode.stops_in_round for mode in relay.modes)


async def _sync(database: str, relay: HostileRelay, seconds: float) -> RelayReport:
    known = not any(isinstance(mode, AuthRequired) and not mode.admits for mode in relay.modes)
    options: SynchronizerConfig = config(
        networks={"clearnet": {"timeout": 0.5 * crowding(), "max_tasks": 100, "max_per_host": 100}},
        processing=READ_AGAIN | {"max_event_size": MAX_EVENT_SIZE},
        timeouts={"max_duration": seconds},
        keys={"keys_env": KEY_VARIABLE if known else "HOSTILE_RELAY_TEST_NO_KEY"},
    )
    [report] = (await sync_relays(database, options, [relay.url])).relays
    return report


def _judge(
    database: str, relay: HostileRelay, end: int, verdict: Verdict, without_kinds: Sequence[int] = ()
) -> None:
    """Add to `verdict` what is broken of the promise; the report says that the coverage is `without_kinds`."""
    found = archive(database, relay.url)
    required = given(relay, end)
    lost = [item for item in required if not _is_kept(item, found) and not _is_said(relay, item, without_kinds)]
    missing = [item for item in lost if item.created_at not in found.gaps]
    covered = [item for item in lost if item.created_at in found.covered]
    too_wide = found.gaps - warranted(relay)
    verdict.missing = len(missing)
    verdict.gaps = found.reasons[:3] + ([f"{len(found.reasons)} gaps"] if len(found.reasons) > 3 else [])
    complaints: dict[str, object] = {
        f"{len(missing)} of {len(required)} missing": missing,
        f"{len(covered)} covered, not stored": covered,
        f"gaps too wide by {too_wide.seconds} s": too_wide,
        f"over budget: {max(relay.asked)} REQs": max(relay.asked) > relay.budget,
        "stored what the relay has not": found.stored - {item.id for item in relay.events},
        "stored a forged event": {item.id for item in relay.events if not item.genuine} & found.stored,
        "the cursor is beyond the coverage": [
            row for row in cursors_beyond_coverage(database, config()) if relay.url in str(row)
        ],
    }
    if len(relay.modes) == 1:
        owed = [item for item in lost if must_be_held(relay, item)]
        complaints[f"{len(owed)} easily had, not stored"] = owed
        if isinstance(relay.modes[0], NothingBut):
            complaints["ok although nothing came"] = verdict.error is None
            complaints["a gap does not say what came"] = "other messages" not in "".join(verdict.gaps)
        if isinstance(relay.modes[0], Crowded):
            complaints[f"{len(lost)} of {len(required)} not fetched"] = len(lost) > len(required) // 20
    verdict.broken += [complaint for complaint, wrong in complaints.items() if wrong]


def _is_said(relay: HostileRelay, item: Held, without_kinds: Sequence[int]) -> bool:
    """What arrives among removed events, of a kind that no list has, cannot be told; that this may be, is said."""
    kinds = {type(mode) for mode in relay.modes}
    return (
        {Restricted, Arriving} <= kinds
        and item.event.kind in RARE_KINDS
        and set(without_kinds) == RESTRICTED_KINDS
    )


def _is_kept(item: Held, found: Archive) -> bool:
    return item.id in (found.stored if item.genuine else found.quarantined)


def assert_the_promise(verdict: Verdict) -> None:
    assert not verdict.broken, str(verdict)


@contextmanager
def archive_on(server: str) -> Iterator[str]:
    """URL of an empty archive on `server`, which has a migrated database `template`."""
    name = f"hostile_{next(_numbers)}"
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template".encode())
        yield in_database(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def first_lines(verdicts: Sequence[Verdict]) -> str:
    """One line per relay, failures first."""
    return "\n".join(str(verdict) for verdict in sorted(verdicts, key=lambda one: (not one.broken, one.name)))


# -- which relays are tried --

AT_ONCE = 20
"""Relays in flight: more of them in one event loop would look like silence to each other."""


def single_modes() -> dict[str, HostileRelay]:
    """A relay of each mode alone."""
    return {name: HostileRelay([mode], seed) for seed, (name, mode) in enumerate(MODES.items())}


def far_modes() -> dict[str, HostileRelay]:
    """As `single_modes`, so far away that pages are asked for side by side; slow proxies never are."""
    return {
        f"far {name}": HostileRelay([mode], 500 + seed, round_trip=ROUND_TRIP)
        for seed, (name, mode) in enumerate(MODES.items())
        if not name.startswith("early-eose-")
    }


def pairs(number: int, seed: int) -> dict[str, HostileRelay]:
    """Relays of `number` different pairs of modes."""
    # Behind these nothing else is reached, or too slowly: a late proxy costs half a second an answer.
    alone = ("auth-without-key", "early-eose-", "nothing-but-")
    names = [name for name in MODES if not name.startswith(alone)]
    possible = [pair for pair in combinations(names, 2) if _go_together(*pair)]
    drawn = Random(seed).sample(possible, number)
    return {f"{one}+{other}": pair(one, other, 1000 + index) for index, (one, other) in enumerate(drawn)}


def pair(one: str, other: str, seed: int) -> HostileRelay:
    return HostileRelay([_in_pairs(one), _in_pairs(other)], seed)


def _go_together(*names: str) -> bool:
    # A relay has one cap, and a crowd brings its own; one way to choose what is cut; one kind of NOTICE.
    caps = [name for name in names if name.startswith("cap-") or name in ("at-most-20-a-second", "crowded-second")]
    choices = [name for name in names if name in ("oldest-first", "random-subset", "random-order")]
    notices = [name for name in names if name.startswith("notice-")]
    eoses = [name for name in names if name.startswith("early-eose")]
    # Pages so large are so few that what comes with every Nth REQ never comes.
    rare = {"cap-100", "cap-500"} & set(names) and any("-every-" in name for name in names)
    return not rare and all(len(group) < 2 for group in (caps, choices, notices, eoses))


def _in_pairs(name: str) -> Mode:
    return Crowded(400, 200, 100) if name == "crowded-second" else MODES[name]


async def all_synced(database: str, relays: Mapping[str, HostileRelay]) -> dict[str, Verdict]:
    """A verdict on each relay, several at once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, relay: HostileRelay) -> Verdict:
        async with turn:
            return await synced(database, relay, name)

    verdicts = await asyncio.gather(*(one(name, relay) for name, relay in relays.items()))
    return {verdict.name: verdict for verdict in verdicts}


def verdicts_on(server: str, relays: Mapping[str, HostileRelay]) -> dict[str, Verdict]:
    """As `all_synced`, into an archive of its own on `server`, with a key in the environment."""
    os.environ[KEY_VARIABLE] = KEY.hex()
    try:
        with archive_on(server) as database:
            return asyncio.run(all_synced(database, relays))
    finally:
        del os.environ[KEY_VARIABLE]
