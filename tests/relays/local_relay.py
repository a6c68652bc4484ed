"""nostr-sdk's LocalRelay, a relay that nobody here wrote, in a process of its own.

    python -m tests.relays.local_relay PORT EVENTS.jsonl [CAP SUBSCRIPTIONS]

serves the events of a JSON-lines file on ws://127.0.0.1:PORT, at most CAP in an answer, to connections of at most
SUBSCRIPTIONS at once; prints READY once all are stored, and runs until it is killed. `LocalRelayProcess` does that
from a test.
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
    ) -> None:
        self.port = port if port is not None else free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._events = events
        self._ready_within = ready_within
        self._limits = (str(cap), str(subscriptions))

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


async def serve(port: int, events: Path, cap: int = CAP, subscriptions: int = SUBSCRIPTIONS) -> None:
    limits = nostr_sdk.RateLimit(max_reqs=subscriptions, notes_per_minute=100_000_000)
    builder = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").port(port)
    relay = builder.rate_limit(limits).max_filter_limit(cap).build()
    await relay.run()
    await load(f"ws://127.0.0.1:{port}", events.read_bytes().splitlines())
    print("READY", flush=True)
    await asyncio.Event().wait()


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
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])))
