"""What is left out by choice is not stored, and coverage says so; what rules say may change at any time."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bigbrotr_dagster.archive.export import export
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.retention import RetentionRefused, count_left_out, delete_left_out
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.keys import sign_event
from bigbrotr_dagster.storage.locks import run_lock
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import KEY, signed
from tests.relays.scripted import ScriptedRelay, scripted
from tests.sync.helpers import ask, config, stored_ids, tell

DAY = 86_400
NOW = int(time.time())

OTHER_KEY = bytes(31) + b"\x02"

NO_LIKES = {"kinds": [7]}
NOT_HIM = {"authors": [sign_event(OTHER_KEY, created_at=0, kind=1, tags=[], content="").pubkey]}
SHORT_LIKES = {"kinds": [7], "older_than": 30 * DAY}
SMALL = {"larger_than": 1_000}
RULES = [NO_LIKES, NOT_HIM, SHORT_LIKES, SMALL]


def many() -> list[Event]:
    """Of two authors, two kinds, three ages and two sizes: 24 of each."""
    return [
        sign_event(
            key,
            created_at=NOW - age * DAY - number,
            kind=kind,
            tags=[],
            content="x" * size,
            aux_randomness=bytes(32),
        )
        for number in range(24)
        for age in (1, 29, 100)
        for kind in (1, 7)
        for size in (10, 2_000)
        for key in (KEY, OTHER_KEY)
    ]


def wanted(events: list[Event], rules: list[dict[str, Any]]) -> set[str]:
    """Written down once more, without the code that is tested."""

    def is_left_out(event: Event, rule: dict[str, Any]) -> bool:
        return (
            ("kinds" not in rule or event.kind in rule["kinds"])
            and ("authors" not in rule or event.pubkey in rule["authors"])
            and ("larger_than" not in rule or len(event.content) > rule["larger_than"])
            and ("older_than" not in rule or event.created_at < NOW - rule["older_than"])
        )

    return {event.id for event in events if not any(is_left_out(event, rule) for rule in rules)}


def leaving(rules: list[dict[str, Any]], **options: Any) -> SynchronizerConfig:
    return config(processing={"leave_out": rules} | options)


async def synced(database: str, relay: ScriptedRelay, rules: list[dict[str, Any]]) -> int:
    """Sync under these rules; returns the events that came."""
    done = await sync_relays(database, leaving(rules), [relay.url])
    [report] = done.relays
    assert report.ok
    assert not report.gaps
    assert not report.pending_seconds
    return report.events_received


@pytest.mark.parametrize("rule", RULES)
async def test_it_is_not_stored_and_the_filter_of_coverage_says_so(database: str, rule: dict[str, Any]) -> None:
    events = many()
    async with scripted(events) as relay:
        await synced(database, relay, [rule])
        assert stored_ids(database) == wanted(events, [rule])
        assert ask(database, "SELECT DISTINCT filter FROM sync_coverage") == [({"leave_out": [rule]},)]
        assert ask(database, "SELECT count(*) FROM event_quarantine") == [(0,)]


async def test_a_rule_that_is_added_costs_no_second_reading(database: str) -> None:
    events = many()
    async with scripted(events) as relay:
        assert await synced(database, relay, []) >= len(events)
        assert await synced(database, relay, [NO_LIKES]) <= 1
        assert await synced(database, relay, [NO_LIKES, SMALL]) <= 1
        assert stored_ids(database) == {event.id for event in events}, "until somebody deletes it"


async def test_what_was_left_out_is_read_as_soon_as_it_no_longer_is(database: str) -> None:
    events = many()
    async with scripted(events) as relay:
        await synced(database, relay, [])
        await synced(database, relay, [NO_LIKES])
        deleted = sum(one.events for one in delete_left_out(database, leaving([NO_LIKES]).processing))
        assert deleted == len(events) - len(wanted(events, [NO_LIKES]))
        assert stored_ids(database) == wanted(events, [NO_LIKES])
        assert await synced(database, relay, [NO_LIKES]) <= 1, "and does not come back by itself"
        assert await synced(database, relay, []) >= len(events)
        assert stored_ids(database) == {event.id for event in events}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_rules_follow_each_other_what_is_covered_is_stored(database: str, seed: int) -> None:
    """After each sync nothing is pending, so that all that its rules want has to be there."""
    draw, events = Random(seed), many()
    async with scripted(events) as relay:
        for _ in range(6):
            rules = draw.sample(RULES, draw.randrange(4))
            await synced(database, relay, rules)
            assert wanted(events, rules) <= stored_ids(database)
            if rules and draw.random() < 0.5:
                list(delete_left_out(database, leaving(rules).processing))
                assert stored_ids(database) == wanted(events, rules)
    assert ask(database, "SELECT count(*) FROM observation WHERE event_seq NOT IN (SELECT seq FROM event)") == [
        (0,)
    ]


async def test_a_gap_is_carried_too(database: str) -> None:
    crowd = [signed(NOW - DAY, content=str(number)) for number in range(60)]
    async with scripted(crowd, cap=10) as relay:
        await sync_relays(database, leaving([], limit=10), [relay.url])
        before = ask(database, "SELECT since, until, reason FROM sync_gap ORDER BY 1")
        await sync_relays(database, leaving([NO_LIKES], limit=10), [relay.url])
        assert before
        assert ask(database, "SELECT since, until, reason FROM sync_gap ORDER BY 1") == before
        assert len(ask(database, "SELECT DISTINCT filter_hash FROM sync_gap")) == 1


async def test_a_dry_run_counts_and_deletes_nothing(database: str) -> None:
    events = many()
    async with scripted(events) as relay:
        await synced(database, relay, [])
    [counted] = count_left_out(database, leaving([NO_LIKES]).processing)
    assert counted.events == counted.observations == len(events) // 2
    assert counted.bytes > 200 * counted.events, "texts are compressed"
    assert len(stored_ids(database)) == len(events)
    assert ask(database, "SELECT DISTINCT filter FROM sync_coverage") == [({},)], "and nothing else is changed"


async def test_without_a_rule_nothing_is_deleted(database: str) -> None:
    async with scripted(many()) as relay:
        await synced(database, relay, [])
    assert list(delete_left_out(database, config().processing)) == []
    assert len(stored_ids(database)) == len(many())


async def test_while_a_sync_runs_that_began_before_the_rules_nothing_is_deleted(database: str) -> None:
    """It may be about to note that a relay holds what would be gone."""
    async with scripted(many()) as relay:
        await synced(database, relay, [])
    tell(database, "INSERT INTO sync_cycle (run_id, relays) VALUES ('earlier', 1)")
    with run_lock(database, "earlier", lambda: None):
        with pytest.raises(RetentionRefused, match="run earlier began before these rules"):
            list(delete_left_out(database, leaving([NO_LIKES]).processing))
        assert len(stored_ids(database)) == len(many())
    assert sum(one.events for one in delete_left_out(database, leaving([NO_LIKES]).processing)) > 0


async def test_a_data_set_says_what_is_left_out(database: str, tmp_path: Path) -> None:
    """A day is due though likes are missing, for nobody wants them; and the manifest names the filter."""
    async with scripted(many()) as relay:
        register_relays(database, [relay.url])
        await synced(database, relay, [NO_LIKES])
    written = list(export(database, leaving([NO_LIKES]), tmp_path))
    assert written
    assert {day.share for day in written} == {1.0}
    said = json.loads((tmp_path / "manifest" / f"date={written[0].date}.json").read_bytes())
    assert said["coverage"]["filter"] == {"leave_out": [NO_LIKES]}
    assert not list(export(database, leaving([]), tmp_path / "all")), "of everything nothing is proved"
