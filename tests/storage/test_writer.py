"""The batch writer: nothing is claimed that is not stored, and one bad event costs only itself."""

import asyncio
import json
from dataclasses import replace

import psycopg
import pytest

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.keys import sign_event
from bigbrotr_dagster.storage.ingest import (
    LAST_SECOND,
    BatchWriter,
    Cursor,
    Delivery,
    Quarantined,
    Tally,
    batch_writer,
)
from bigbrotr_dagster.storage.ingest import writer as batch_writing
from bigbrotr_dagster.storage.ingest.prepare import SPOT_CHECKS
from bigbrotr_dagster.storage.sessions import Pool
from bigbrotr_dagster.storage.sessions import pool as connection_pool
from bigbrotr_dagster.storage.state import begin_attempt
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.tasks import Gap, Unproven
from tests.nostr.helpers import KEY, signed

RELAY = "wss://relay.example.com"


def delivery(*events: Event, relay: str = RELAY, **fields: object) -> Delivery:
    given = {
        "relay_url": relay,
        "filter_hash": "f",
        "filter": {},
        "seen_at": 1,
        "tally": Tally(),
        "events": events,
    }
    return Delivery(**(given | fields))


async def store(pool: Pool, *deliveries: Delivery) -> None:
    async with batch_writer(pool, batch_size=1000, flush_interval=50) as writer:
        for each in deliveries:
            await writer.put(each)


async def fetch(pool: Pool, text: bytes) -> list[tuple[object, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(text)).fetchall()


async def test_real_events_survive_a_round_trip_byte_for_byte(pool: Pool, real_events: list[Event]) -> None:
    given = delivery(*real_events)
    await store(pool, given)
    assert given.tally.events_new == len(real_events) == 2049
    rows = await fetch(pool, b"SELECT id, pubkey, created_at, kind, tags, content, sig FROM event")
    stored = {
        id.hex(): Event(id.hex(), pubkey.hex(), created_at, kind, tags, content, sig.hex())
        for id, pubkey, created_at, kind, tags, content, sig in rows
    }
    for event in real_events:
        assert stored[event.id].to_json() == event.to_json()


async def test_an_event_of_two_relays_is_stored_once_and_observed_twice(pool: Pool) -> None:
    event, other = signed(5), "wss://other.example.com"
    first, second = delivery(event), delivery(event, relay=other, seen_at=2)
    await store(pool, first, second)
    assert (first.tally.events_new, second.tally.events_new, second.tally.events_known) == (1, 0, 1)
    assert first.tally.observations_new == second.tally.observations_new == 1
    seen = await fetch(pool, b"SELECT relay_url, seen_at FROM event_relay ORDER BY seen_at")
    assert seen == [(RELAY, 1), (other, 2)]


async def test_storing_again_changes_nothing(pool: Pool) -> None:
    await store(pool, delivery(signed(5)))
    again = delivery(signed(5), seen_at=99)
    await store(pool, again)
    assert (again.tally.events_new, again.tally.events_known, again.tally.observations_new) == (0, 1, 0)
    assert await fetch(pool, b"SELECT seen_at FROM event_relay") == [(1,)]


UNSTORABLE = {
    "bad_signature": replace(signed(2), sig="0" * 128),
    "nul": signed(2, content="a\0b"),
    "far_future": signed(LAST_SECOND + 1),
}


@pytest.mark.parametrize("reason", UNSTORABLE)
async def test_an_event_that_cannot_be_stored_is_quarantined_and_its_batch_is_not(pool: Pool, reason: str) -> None:
    good, bad = signed(1), UNSTORABLE[reason]
    given = delivery(good, bad, covered=[Interval(0, 9)])
    await store(pool, given)
    assert dict(given.tally.rejected) == {reason: 1}
    assert await fetch(pool, b"SELECT encode(id, 'hex') FROM event") == [(good.id,)]
    [(kept_reason, event_id, raw)] = await fetch(pool, b"SELECT reason, event_id, raw FROM event_quarantine")
    assert (kept_reason, event_id) == (reason, bad.id)
    assert json.loads(raw)["id"] == bad.id


async def test_the_last_second_is_a_time_in_every_time_zone(pool: Pool) -> None:
    given = delivery(*[signed(second) for second in (0, LAST_SECOND, LAST_SECOND + 1, 2**63 - 1)])
    await store(pool, given)
    assert (given.tally.events_new, dict(given.tally.rejected)) == (2, {"far_future": 2})
    readme = b"SELECT date_trunc('hour', to_timestamp(created_at)) AS hour, count(*) FROM event GROUP BY hour"
    async with pool.connection() as connection:
        for zone in (b"UTC", b"Pacific/Kiritimati", b"Pacific/Pago_Pago"):
            await connection.execute(b"SET TimeZone = '%s'" % zone)
            hours = await (await connection.execute(readme + b" ORDER BY hour DESC")).fetchall()
            assert hours[0][0].timestamp() == LAST_SECOND // 3600 * 3600


async def test_what_only_looks_like_nul_is_stored(pool: Pool) -> None:
    given = delivery(signed(1, content="\\u0000 is how JSON writes it", tags=[["t", "\\u0000"]]))
    await store(pool, given)
    assert (given.tally.events_new, dict(given.tally.rejected)) == (1, {})


async def test_a_forged_copy_does_not_cost_the_true_one(pool: Pool) -> None:
    true = signed(1)
    forged = delivery(replace(true, sig="0" * 128), relay="wss://forger.example.com")
    honest = delivery(true)
    await store(pool, forged, honest, delivery(replace(true, sig="1" * 128), relay="wss://late.example.com"))
    assert (honest.tally.events_new, honest.tally.observations_new) == (1, 1)
    assert dict(forged.tally.rejected) == {"bad_signature": 1}
    assert [row[0].hex() for row in await fetch(pool, b"SELECT id FROM event")] == [true.id]


@pytest.mark.parametrize("count", [1, 4, 500])
async def test_a_forged_copy_of_a_known_event_is_no_observation(pool: Pool, count: int) -> None:
    """A relay that forges all of a page is found out by any few of them."""
    events = [signed(number) for number in range(count)]
    await store(pool, delivery(*events))
    forged = delivery(*[replace(event, sig="0" * 128) for event in events], relay="wss://forger.example.com")
    honest = delivery(*events, relay="wss://honest.example.com")
    await store(pool, forged, honest)
    assert (forged.tally.events_known, forged.tally.observations_new) == (0, 0)
    assert dict(forged.tally.rejected) == {"bad_signature": count}
    assert (honest.tally.events_known, honest.tally.observations_new) == (count, count)


async def test_of_a_page_with_one_forged_copy_that_is_found_the_others_count(pool: Pool) -> None:
    events = [signed(number) for number in range(SPOT_CHECKS)]
    await store(pool, delivery(*events))
    given = delivery(*events[1:], replace(events[0], sig="0" * 128), relay="wss://b.example.com")
    await store(pool, given)
    assert (given.tally.observations_new, dict(given.tally.rejected)) == (SPOT_CHECKS - 1, {"bad_signature": 1})


async def test_another_valid_signature_of_a_known_event_counts(pool: Pool) -> None:
    """BIP-340 signs with fresh randomness; what is stored is the first."""
    event = signed(1)
    again = sign_event(KEY, created_at=1, kind=1, tags=[], content="", aux_randomness=b"\1" * 32)
    assert (again.id == event.id, again.sig == event.sig) == (True, False)
    await store(pool, delivery(event))
    given = delivery(again, relay="wss://b.example.com")
    await store(pool, given)
    assert (given.tally.events_known, given.tally.observations_new) == (1, 1)
    assert await fetch(pool, b"SELECT encode(sig, 'hex') FROM event") == [(event.sig,)]


async def test_a_tag_value_beyond_the_index_is_kept_whole_in_tags(pool: Pool) -> None:
    value = "é" * 5_000
    await store(pool, delivery(signed(1, tags=[["d", value], ["e", "x"], ["long", "y"], ["t"]])))
    [(tags, tagvalues)] = await fetch(pool, b"SELECT tags, tagvalues FROM event")
    assert tags[0] == ["d", value]
    assert tagvalues == ["d:" + "é" * 1024, "e:x"]


async def test_coverage_gaps_and_cursor_land_with_the_events(pool: Pool) -> None:
    gap = Gap(Interval(5, 5), Unproven.SATURATED, held=3)
    await store(
        pool,
        delivery(signed(8), covered=[Interval(6, 9)], gaps=[gap]),
        delivery(signed(2), covered=[Interval(0, 4)], cursor=Cursor(9)),
    )
    async with pool.connection() as connection:
        state = await begin_attempt(connection, RELAY, "run", [("f", 0)])
    assert state.covered == {"f": Coverage([Interval(0, 4), Interval(6, 9)])}
    assert state.gaps == {"f": [gap]}
    assert await fetch(pool, b"SELECT state_value FROM service_state") == [({"timestamp": 9, "id": "f" * 64},)]


async def test_what_becomes_a_gap_is_covered_no_more(pool: Pool) -> None:
    await store(pool, delivery(signed(8), covered=[Interval(0, 9)]))
    await store(pool, delivery(signed(8), gaps=[Gap(Interval(5, 6), Unproven.SATURATED, held=3)]))
    async with pool.connection() as connection:
        state = await begin_attempt(connection, RELAY, "run", [("f", 0)])
    assert state.covered == {"f": Coverage([Interval(0, 4), Interval(7, 9)])}


async def test_a_cursor_never_moves_back(pool: Pool) -> None:
    await store(pool, delivery(covered=[Interval(0, 9)], cursor=Cursor(9)), delivery(cursor=Cursor(3)))
    assert await fetch(pool, b"SELECT (state_value ->> 'timestamp')::int FROM service_state") == [(9,)]


async def test_a_cursor_that_nothing_proves_is_forgotten(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            b"INSERT INTO service_state VALUES ('synchronizer', 'cursor', %s, '{\"timestamp\": 7}')",
            [RELAY],
        )
        await begin_attempt(connection, RELAY, "run", [("f", 0)])
    assert await fetch(pool, b"SELECT * FROM service_state") == []


async def test_quarantine_is_bounded_per_relay(pool: Pool) -> None:
    rubbish = [Quarantined("malformed", str(number).encode()) for number in range(1_200)]
    await store(pool, delivery(rejected=rubbish), delivery(relay="wss://b.example.com", rejected=rubbish[:5]))
    counts = await fetch(pool, b"SELECT relay_url, count(*) FROM event_quarantine GROUP BY 1 ORDER BY 1")
    assert counts == [("wss://b.example.com", 5), (RELAY, 1_000)]


async def test_an_event_that_postgresql_refuses_is_found_and_set_apart(pool: Pool) -> None:
    async with pool.connection() as connection:  # what a tag of 300 MB would do, at a size that tests can afford
        await connection.execute(
            b"ALTER TABLE event ADD CHECK (length(content) < 10 OR 1 / (length(content) - 12) > -9)"
        )
    good = [signed(number) for number in range(20)]
    bad = signed(50, content="exactly 12 c")
    given = delivery(*good, bad)
    await store(pool, given)
    assert given.tally.events_new == 20
    assert dict(given.tally.rejected) == {"unstorable": 1}


async def test_a_batch_survives_a_lost_connection(pool: Pool) -> None:
    async with batch_writer(pool, batch_size=1000, flush_interval=50) as writer:
        await writer.put(delivery(signed(1)))
        await writer.flush()
        async with await psycopg.AsyncConnection.connect(pool.conninfo, autocommit=True) as other:
            await other.execute(
                b"SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                b" WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await writer.put(delivery(signed(2)))
        await writer.flush()
    assert await fetch(pool, b"SELECT count(*) FROM event") == [(2,)]


async def test_a_full_queue_makes_the_relay_wait(pool: Pool) -> None:
    writer = BatchWriter(pool, batch_size=2, flush_interval=50)  # nobody stores
    for number in range(4):
        await asyncio.wait_for(writer.put(delivery(signed(number))), timeout=30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.put(delivery(signed(9))), timeout=0.1)


@pytest.mark.slow
async def test_a_database_that_stays_away_is_told_to_everyone_who_waits(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (batch_writing, connection_pool):
        monkeypatch.setattr(module, "RETRY_DELAYS", (0.1, 0.1))
    pool.timeout = 1
    async with pool.connection() as connection:
        await connection.execute(b"DROP TABLE observation CASCADE")
    with pytest.raises(DatabaseUnavailable):
        await store(pool, delivery(signed(1), covered=[Interval(0, 9)]))
    assert await fetch(pool, b"SELECT * FROM sync_coverage") == []
