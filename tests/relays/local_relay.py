"""nostr-sdk's LocalRelay, a relay that nobody here wrote, in a process of its own.

    python -m tests.relays.local_relay PORT EVENTS.jsonl [CAP SUBSCRIPTIONS [FOLDER]]

serves the events of a JSON-lines file on ws://127.0.0.1:PORT, at most CAP in an answer, to connections of at most
SUBSCRIPTIONS at once; prints READY once all are stored, and runs until it is killed. `LocalRelayProcess` does that
from a test. It keeps 75,000 events in memory, or with an empty FOLDER any number there (LMDB), and is slower then.
"""

import asyncio
import select
import subprocess
import sys
from pathlib import Path

import nostr_sdk  # type: ignore[import-untyped]
import orjson
from websockets.asyncio.client import connect

from tests.ports import free_port
from tests.relays.process import READY_WITHIN, RelayProcess

ROOT = Path(__file__).parents[2]

EVENTS_PER_CONNECTION = 5000
"""LocalRelay 0.45 resets a connection at its 6,001st event."""

CAP = 5_000
SUBSCRIPTIONS = 10_000


class LocalRelayProcess(RelayProcess):
    """A LocalRelay that holds `events` (a JSON-lines file), for the time of a `with` block."""

    def __init__(
        self,
        events: Path,
        *,
        port: int | None = None,
        ready_within: float = READY_WITHIN,
        cap: int = CAP,
        subscriptions: int = SUBSCRIPTIONS,
        folder: Path | None = None,
    ) -> None:
        self.port = port if port is not None else free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._events = events
        self._ready_within = ready_within
        self._limits = (str(cap), str(subscriptions), *([] if folder is None else [str(folder)]))

    @property
    def pid(self) -> int:
        return self.process.pid

    def spawn(self) -> "subprocess.Popen[bytes]":
        arguments = (str(self.port), str(self._events), *self._limits)
        command = [sys.executable, "-m", "tests.relays.local_relay", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], self._ready_within)
        line = self.process.stdout.readline() if readable else b"(silence)"
        if line.strip() != b"READY":
            raise RuntimeError(f"LocalRelay on port {self.port} did not start: {line!r}")


async def serve(
    port: int, events: Path, cap: int = CAP, subscriptions: int = SUBSCRIPTIONS, folder: Path | None = None
) -> None:
    limits = nostr_sdk.RateLimit(max_reqs=subscriptions, notes_per_minute=100_000_000)
    builder = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").port(port)
    builder = builder.rate_limit(limits).max_filter_limit(cap)
    held = events.read_bytes().splitlines()
    if folder is not None:
        builder = builder.database(await _stored(folder, held))
    relay = builder.build()  # which lives as long as it is held
    await relay.run()
    if folder is None:
        await load(f"ws://127.0.0.1:{port}", held)
    print("READY", flush=True)
    await asyncio.Event().wait()


async def _stored(folder: Path, events: list[bytes]) -> nostr_sdk.NostrLmdb:
    """A database in that folder with these events; the relay calls it through Python, which needs a loop."""
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    database = await nostr_sdk.NostrLmdb.open(str(folder))
    for start in range(0, len(events), EVENTS_PER_CONNECTION):
        parsed = (
            nostr_sdk.Event.from_json(event.decode()) for event in events[start : start + EVENTS_PER_CONNECTION]
        )
        await asyncio.gather(*(database.save_event(event) for event in parsed))
    return database


async def load(url: str, events: list[bytes]) -> None:
    """Publish `events` to the relay, one at a time; any that it refuses is an error."""
    for start in range(0, len(events), EVENTS_PER_CONNECTION):
        async with connect(url, compression=None, max_size=None) as socket:
            for event in events[start : start + EVENTS_PER_CONNECTION]:
                await socket.send(b'["EVENT",' + event + b"]", text=True)
                verdict = orjson.loads(await socket.recv())
                if verdict[0] != "OK" or not verdict[2]:
                    raise RuntimeError(f"LocalRelay refused {event[:100]!r}: {verdict}")


if __name__ == "__main__":
    given = sys.argv[3:]
    cap, subscriptions = map(int, given[:2] or (CAP, SUBSCRIPTIONS))
    asyncio.run(
        serve(int(sys.argv[1]), Path(sys.argv[2]), cap, subscriptions, Path(given[2]) if given[2:] else None)
    )
