"""What a process remembers of the archive: bounded, and gone with the session that it is good for."""

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.ingest import batch_writer
from bigbrotr_dagster.storage.ingest.known import Known
from bigbrotr_dagster.storage.sessions import Pool
from tests.nostr.helpers import signed
from tests.storage.test_writer import delivery, fetch


def test_what_was_met_lately_is_remembered_longest() -> None:
    known = Known(most=4)
    known.add(0, {"a": 1, "b": 2})
    assert known.events(["a"]) == {"a": 1}
    for number, id in enumerate("cdef", start=3):
        known.add(0, {id: number})
        known.events(["a"])
    found = known.events("abcdef")
    assert found["a"] == 1
    assert found["f"] == 6
    assert "b" not in found
    assert len(known._young) + len(known._old) <= 4


def test_what_an_old_session_stored_is_not_remembered() -> None:
    known = Known()
    epoch = known.epoch
    known.add(epoch, {"a": 1}, {"wss://a": 1})
    known.forget()
    known.add(epoch, {"b": 2}, {"wss://b": 2})
    assert known.events("ab") == {}
    assert known.relays(["wss://a", "wss://b"]) == {}


async def test_a_known_event_is_not_asked_for_again(pool: Pool, real_events: list[Event]) -> None:
    async with batch_writer(pool, batch_size=1000, flush_interval=50) as writer:
        await writer.put(delivery(*real_events))
        await writer.flush()
        remembered = writer._known.events(event.id for event in real_events)
    rows = await fetch(pool, b"SELECT encode(id, 'hex'), seq FROM event")
    assert remembered == dict(rows)


async def test_a_lost_session_takes_what_was_known_along(pool: Pool) -> None:
    """A server that crashed may have given a number to another event meanwhile."""
    event, other = signed(1), signed(2)
    async with batch_writer(pool, batch_size=1000, flush_interval=50) as writer:
        await writer.put(delivery(event))
        await writer.flush()
        async with pool.connection() as connection:
            await connection.execute(
                b"SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                b" WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await connection.execute(b"DELETE FROM event")
            await connection.execute(b"ALTER SEQUENCE event_seq RESTART")
        second = delivery(other, event, relay="wss://b.example.com")
        await writer.put(second)
        await writer.flush()
    assert second.tally.events_new == 2
    seen = await fetch(pool, b"SELECT encode(event_id, 'hex') FROM event_relay")
    assert sorted(seen) == sorted([(event.id,), (other.id,)])
