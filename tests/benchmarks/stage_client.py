"""What each stage of an event costs alone, and what a sync costs, in one process; prints a JSON object.

    python -m tests.benchmarks.stage_client '{"database": URL, "relay": URL, "untils": [SECOND...], "limit": 500}'

A stage is the library's work and no more: the least that a client in Python can pay for it with these libraries.
`untils` are those of full pages. Every figure is CPU time (user and system, all threads) in microseconds an event.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
import psycopg
from websockets.asyncio.client import ClientConnection, connect

from bigbrotr_dagster.nostr.event import Event, event_from_json, verify_signature
from bigbrotr_dagster.nostr.messages import parse_message
from bigbrotr_dagster.storage.ingest.rows import pack_events, pack_observations
from bigbrotr_dagster.storage.queries import query
from tests.benchmarks.sync_client import measured

_T = TypeVar("_T")

FLOOR = ("receive", "json", "id", "signature", "copy_events", "copy_observations")
"""The stages that the sum is made of."""


class Stages:
    """CPU seconds of each stage so far."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def timed(self, stage: str, work: Callable[[], _T]) -> _T:
        started = time.process_time()
        done = work()
        self.add(stage, time.process_time() - started)
        return done


async def receive(socket: ClientConnection, until: int, limit: int, stages: Stages) -> list[bytes]:
    """The EVENT messages of one page, by websockets and nothing else."""
    page: list[bytes] = []
    started = time.process_time()
    await socket.send(orjson.dumps(["REQ", "0" * 16, {"until": until, "limit": limit}]), text=True)
    while (message := await socket.recv(decode=False)).startswith(b'["EVENT"'):
        page.append(message)
    stages.add("receive", time.process_time() - started)
    return page


def check(page: list[bytes], stages: Stages) -> list[Event]:
    """Decode a page, recompute its ids, verify its signatures; our own parser is timed beside them."""
    fields: list[dict[str, Any]] = stages.timed("json", lambda: [orjson.loads(raw)[2] for raw in page])
    ids = stages.timed("id", lambda: [_id(each) for each in fields])
    events = [event_from_json(orjson.dumps(each)) for each in fields]
    valid = stages.timed("signature", lambda: all(map(verify_signature, events)))
    if not valid or ids != [event.id for event in events]:
        raise RuntimeError("the relay holds events that are not valid")
    stages.timed("our parser's message", lambda: [parse_message(raw) for raw in page])
    return events


def _id(fields: dict[str, Any]) -> str:
    canonical = [0, *(fields[name] for name in ("pubkey", "created_at", "kind", "tags", "content"))]
    return hashlib.sha256(orjson.dumps(canonical)).hexdigest()


def copy(connection: "psycopg.Connection[Any]", events: list[Event], stages: Stages) -> None:
    """Encode and send the rows of a page; they are rolled back."""
    observations = {(number, 1): 0 for number in range(len(events))}
    with connection.transaction(force_rollback=True), connection.cursor(binary=True) as cursor:
        stages.timed("copy_events", lambda: _copy(cursor, "copy_events", pack_events(events)))
        stages.timed(
            "copy_observations",
            lambda: _copy(cursor, "copy_observations", pack_observations(observations.items())),
        )


def _copy(cursor: "psycopg.Cursor[Any]", name: str, packed: bytes) -> None:
    with cursor.copy(query(name)) as out:
        out.write(packed)


async def pages(database: str, relay: str, untils: Sequence[int], limit: int, stages: Stages) -> int:
    """Take every page through all stages, one after the other as a sync does; returns the number of events."""
    count = 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(query("make_staging"))
        async with connect(relay, compression=None, ping_interval=None, proxy=None) as socket:
            for until in untils:
                events = check(await receive(socket, until, limit, stages), stages)
                copy(connection, events, stages)
                count += len(events)
    return count


async def run(database: str, relay: str, untils: Sequence[int], limit: int) -> dict[str, Any]:
    stages = Stages()
    count = await pages(database, relay, untils, limit, stages)
    synced = await measured(database, [relay])
    floor = {stage: stages.seconds.pop(stage) / count * 1e6 for stage in FLOOR}
    beside = {stage: seconds / count * 1e6 for stage, seconds in stages.seconds.items()}
    stored = synced["report"]["events_new"]
    rate = stored / synced["seconds"]
    return {"floor": floor, "beside": beside, "sync": synced["cpu_seconds"] / stored * 1e6, "rate": rate}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(**json.loads(sys.argv[1])))))
