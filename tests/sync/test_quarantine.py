"""Rejected events are listed, and come back when they pass; an entry goes only with its event stored."""

from dataclasses import replace
from pathlib import Path

import orjson
import psycopg
import pytest

from bigbrotr_dagster.archive import quarantine
from bigbrotr_dagster.archive.quarantine import ReplayReport, replay_quarantine
from bigbrotr_dagster.cli import main
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.rejected import MAX_RAW_KEPT
from bigbrotr_dagster.storage.ingest import Quarantined
from bigbrotr_dagster.storage.sessions import open_pool
from tests.e2e.graphql import eventually
from tests.e2e.program import run, start
from tests.nostr.helpers import signed
from tests.storage.test_writer import RELAY, delivery
from tests.storage.test_writer import store as write
from tests.sync.helpers import ask, config, stored_ids, tell

OTHER = "wss://other.example.com"
KEPT = "SELECT reason, encode(digest, 'hex'), raw, seen_at FROM event_quarantine ORDER BY digest"


async def reject(database: str, *items: tuple[str, bytes], relay: str = RELAY) -> None:
    async with open_pool(database) as pool:
        await write(pool, delivery(relay=relay, rejected=[Quarantined(reason, raw) for reason, raw in items]))


async def replay(database: str, *selected: str | None, **processing: object) -> ReplayReport:
    return await replay_quarantine(database, config(processing=processing).processing, *selected)


async def test_what_passes_now_is_stored_as_seen_when_it_was_rejected(any_database: str) -> None:
    large = signed(5, content="x" * 2_000)
    await reject(any_database, ("too_large", large.to_json()))
    tell(any_database, "UPDATE event_quarantine SET seen_at = to_timestamp(1700000000.7)")
    tight = await replay(any_database, max_event_size=1024)
    assert (tight.stored, +tight.kept) == (0, {"too_large": 1})
    report = await replay(any_database)
    assert (report.stored, report.events_new, report.kept.total()) == (1, 1, 0)
    assert ask(any_database, "SELECT * FROM event_quarantine") == []
    seen = "SELECT encode(event_id, 'hex'), relay_url, seen_at FROM event_relay"
    assert ask(any_database, seen) == [(large.id, RELAY, 1_700_000_000)]
    assert ask(any_database, "SELECT content FROM event") == [("x" * 2_000,)]
    for table in ("sync_coverage", "sync_gap", "service_state"):
        assert ask(any_database, f"SELECT * FROM {table}") == []


async def test_what_does_not_pass_stays_as_it_is(database: str) -> None:
    event = signed(5)
    cut = signed(6, content="x" * MAX_RAW_KEPT).to_json()[:MAX_RAW_KEPT]
    twice = event.to_json()[:-1] + b',"kind":1}'
    rejected = {
        "bad_signature": replace(event, sig="0" * 128).to_json(),
        "bad_id": replace(event, content="forged").to_json(),
        "nul": signed(7, content="a\0b").to_json(),
        "far_future": signed(2**63 - 1).to_json(),
        "too_large": cut,
        "malformed": twice,
    }
    await reject(database, *rejected.items(), ("malformed", b'["EVENT","s"]'), ("malformed", b"\xff\0"))
    before = ask(database, KEPT)
    report = await replay(database)
    assert +report.kept == {"bad_signature": 1, "bad_id": 1, "nul": 1, "far_future": 1, "cut": 1, "malformed": 3}
    assert (report.stored, stored_ids(database)) == (0, set())
    assert ask(database, KEPT) == before
    assert len(before) == 8


async def test_an_event_off_filter_comes_back_by_a_filter_that_wants_it(database: str) -> None:
    event = signed(5, kind=7)
    await reject(database, ("off_filter", event.to_json()))
    for unwanted in ({"filters": [{"kinds": [1]}]}, {"filters": [{"kinds": [7], "until": 4}]}, {"since": 6}):
        assert +(await replay(database, **unwanted)).kept == {"off_filter": 1}
    assert (await replay(database, filters=[{"kinds": [1]}, {"kinds": [7]}])).stored == 1
    assert stored_ids(database, RELAY) == {event.id}


async def test_a_forged_copy_of_a_stored_event_stays(database: str) -> None:
    event = signed(5)
    async with open_pool(database) as pool:
        await write(pool, delivery(event, relay=OTHER))
    await reject(database, ("bad_signature", replace(event, sig="0" * 128).to_json()))
    assert +(await replay(database)).kept == {"bad_signature": 1}
    assert stored_ids(database, RELAY) == set()


async def test_an_event_that_another_relay_had_is_only_observed(database: str) -> None:
    event = signed(5)
    async with open_pool(database) as pool:
        await write(pool, delivery(event, relay=OTHER))
    await reject(database, ("too_large", event.to_json()))
    report = await replay(database)
    assert (report.stored, report.events_new) == (1, 0)
    assert stored_ids(database, RELAY) == stored_ids(database, OTHER) == {event.id}


async def test_of_two_copies_the_one_seen_first_counts(database: str) -> None:
    event = signed(5)
    spaced = orjson.dumps(event, option=orjson.OPT_INDENT_2)
    await reject(database, ("too_large", spaced), ("too_large", event.to_json()))
    later = "UPDATE event_quarantine SET seen_at = to_timestamp(row.number * 100) FROM (SELECT digest,"
    later += " row_number() OVER (ORDER BY digest DESC) AS number FROM event_quarantine) AS row"
    tell(database, f"{later} WHERE row.digest = event_quarantine.digest")
    report = await replay(database)
    assert (report.stored, report.events_new) == (2, 1)
    assert ask(database, "SELECT seen_at FROM event_relay") == [(100,)]


async def test_only_the_relay_and_the_reason_that_were_asked_for(database: str) -> None:
    events = [signed(number) for number in range(3)]
    await reject(database, ("too_large", events[0].to_json()), ("off_filter", events[1].to_json()))
    await reject(database, ("too_large", events[2].to_json()), relay=OTHER)
    assert (await replay(database, OTHER)).stored == 1
    assert stored_ids(database) == {events[2].id}
    assert (await replay(database, None, "off_filter")).stored == 1
    assert stored_ids(database, RELAY) == {events[1].id}


async def test_all_pages_are_taken_whatever_their_size(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [signed(number, content="x" * (number % 7) * 300) for number in range(50)]
    for relay in (RELAY, OTHER):
        await reject(database, *[("too_large", event.to_json()) for event in events], relay=relay)
    monkeypatch.setattr(quarantine, "PAGE_ROWS", 7)
    monkeypatch.setattr(quarantine, "PAGE_BYTES", 5_000)
    report = await replay(database)
    assert (report.stored, report.events_new) == (100, 50)
    assert ask(database, "SELECT * FROM event_quarantine") == []


async def test_what_postgresql_refuses_stays_and_costs_no_other(database: str) -> None:
    tell(database, "ALTER TABLE event ADD CHECK (length(content) < 10 OR 1 / (length(content) - 12) > -9)")
    bad = orjson.dumps(signed(5, content="exactly 12 c"), option=orjson.OPT_INDENT_2)
    good = [signed(number) for number in range(5)]
    await reject(database, ("unstorable", bad), *[("too_large", event.to_json()) for event in good])
    report = await replay(database)
    assert (report.stored, +report.kept) == (5, {"unstorable": 1})
    assert ask(database, "SELECT reason, raw FROM event_quarantine") == [("unstorable", bad)]


GATE = """
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT count(*) FROM event) > 600 THEN PERFORM pg_advisory_xact_lock(1); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER gate BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()
"""
"""Whoever stores further events waits for lock 1: nobody is done before he is killed."""


@pytest.mark.slow
async def test_a_kill_in_the_middle_loses_nothing(database: str, tmp_path: Path) -> None:
    events: dict[str, Event] = {}
    for relay in range(6):
        page = [signed(number, content=f"{relay}") for number in range(1000)]
        events |= {event.id: event for event in page}
        url = f"wss://{relay}.example.com"
        await reject(database, *[("too_large", event.to_json()) for event in page], relay=url)
    tell(database, GATE)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        process = start(tmp_path, "quarantine", "replay", BIGBROTR_DATABASE_URL=database)
        eventually(lambda: ask(database, "SELECT 1 FROM event OFFSET 600 LIMIT 1"), 60, every=0.005)
        process.kill()
        process.communicate()
    tell(database, "DROP FUNCTION wait_at_gate CASCADE")
    left = "SELECT raw FROM event_quarantine"
    kept = {orjson.loads(raw)["id"] for (raw,) in ask(database, left)}
    assert kept | stored_ids(database) == set(events)
    assert not kept & stored_ids(database)
    assert kept
    again = run(tmp_path, "quarantine", "replay", BIGBROTR_DATABASE_URL=database)
    assert (again.code, again.stdout) == (0, f"{len(kept)} stored ({len(kept)} new events), 0 stay\n")
    assert (stored_ids(database), ask(database, left)) == (set(events), [])


@pytest.fixture
def command(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    monkeypatch.delenv("BIGBROTR_CONFIG", raising=False)
    return database


def put(database: str, *rows: tuple[str, str, str | None, bytes]) -> None:
    insert = "INSERT INTO event_quarantine (relay_url, digest, reason, event_id, raw, seen_at)"
    with psycopg.connect(database, autocommit=True) as connection:
        for relay, reason, id, raw in rows:
            connection.execute(
                f"{insert} VALUES (%s, sha256(%s), %s, %s, %s, to_timestamp(60))".encode(),
                [relay, raw, reason, id, raw],
            )


def test_the_list_names_relay_reason_id_time_and_size(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(command, (RELAY, "malformed", None, b"rubbish"), (OTHER, "bad_id", "f" * 64, b"{}"))
    assert main(["quarantine", "list"]) == 0
    at = "1970-01-01 00:01:00"
    assert capsys.readouterr().out.splitlines() == [
        f"{OTHER}\tbad_id\t{'f' * 64}\t{at}\t2 bytes",
        f"{RELAY}\tmalformed\t-\t{at}\t7 bytes",
    ]
    assert main(["quarantine", "list", OTHER, "--reason", "malformed"]) == 0
    assert capsys.readouterr().out == ""
    put(command, (OTHER, "malformed", None, b"more rubbish"))
    assert main(["quarantine", "list", "--count"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "malformed\t2 entries\t2 relays\t19 bytes",
        "bad_id\t1 entries\t1 relays\t2 bytes",
    ]


def test_a_replay_says_what_it_stored_and_why_the_rest_stays(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = signed(1), signed(2, content="x" * 2_000)
    put(command, (RELAY, "too_large", small.id, small.to_json()), (RELAY, "too_large", large.id, large.to_json()))
    (tmp_path / "tight.yaml").write_text("processing: {max_event_size: 1024}")
    assert main(["quarantine", "replay", "--config", "tight.yaml"]) == 0
    assert main(["quarantine", "replay", RELAY, "--reason", "too_large"]) == 0
    assert main(["quarantine", "replay"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 stored (1 new events), 1 stay: 1 too_large",
        "1 stored (1 new events), 0 stay",
        "0 stored (0 new events), 0 stay",
    ]
