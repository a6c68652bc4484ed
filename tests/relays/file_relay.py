"""A relay that sends events straight from files: cheap enough not to be what a benchmark measures.

    python -m tests.relays.file_relay CAP EVENTS.jsonl...

serves the first file on ws://127.0.0.1:PORT/0, the next on /1 and so on (what follows in the path is ignored),
prints READY PORT, and runs until it is killed. The lines of a file are compact JSON, oldest first; an answer holds
the newest first, `CAP` at most. An event costs it 18 bytes of memory, and a page is read when it is sent.
"""

import asyncio
import os
import re
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr.event import event_from_json
from bigbrotr_dagster.nostr.filter import Filter

WRITE_BYTES = 64 * 1024
"""Messages are handed to the socket in portions of about this size."""

_HEAD = re.compile(rb'"created_at":(\d+),"kind":(\d+),')


class EventFile:
    """The events of a JSON-lines file: where each begins, when it was created, and its kind."""

    def __init__(self, path: Path) -> None:
        self._starts, self._times, self._kinds = array("Q", [0]), array("q"), array("H")
        with path.open("rb") as lines:
            for line in lines:
                head = _HEAD.search(line)
                if head is None or (self._times and int(head[1]) < self._times[-1]):
                    raise ValueError(f"{path}: not a compact event in order of created_at: {line[:200]!r}")
                self._times.append(int(head[1]))
                self._kinds.append(int(head[2]))
                self._starts.append(self._starts[-1] + len(line))
        self._fd = os.open(path, os.O_RDONLY)

    def page(self, wanted: Filter, cap: int) -> Iterator[bytes]:
        """The JSON of the newest events that match, at most `cap`, newest first."""
        left = cap if wanted.limit is None else min(cap, wanted.limit)
        first = bisect_left(self._times, wanted.since or 0)
        last = len(self._times) if wanted.until is None else bisect_right(self._times, wanted.until)
        for index in range(last - 1, first - 1, -1):
            if left == 0:
                return
            if wanted.kinds is not None and self._kinds[index] not in wanted.kinds:
                continue
            start = self._starts[index]
            raw = os.pread(self._fd, self._starts[index + 1] - start - 1, start)
            is_plain = not (wanted.ids or wanted.authors or wanted.tags)
            if not is_plain and not wanted.matches(event_from_json(raw)):
                continue
            left -= 1
            yield raw


def frame(message: bytes) -> bytes:
    """A text message as a server sends it (RFC 6455): not fragmented, not masked."""
    size = len(message)
    if size < 126:
        return b"\x81" + bytes((size,)) + message
    if size < 1 << 16:
        return b"\x81\x7e" + struct.pack("!H", size) + message
    return b"\x81\x7f" + struct.pack("!Q", size) + message


async def send_page(socket: ServerConnection, subscription: bytes, page: Iterator[bytes]) -> None:
    """Send events and EOSE past websockets' own `send`, which costs more than all the rest."""
    portion, size = [], 0
    for raw in page:
        portion.append(frame(b'["EVENT",%s,%s]' % (subscription, raw)))
        size += len(raw)
        if size >= WRITE_BYTES:
            socket.transport.write(b"".join(portion))
            await socket.drain()
            portion, size = [], 0
    socket.transport.write(b"".join((*portion, frame(b'["EOSE",%s]' % subscription))))
    await socket.drain()


async def run(cap: int, paths: list[Path]) -> None:
    files = [EventFile(path) for path in paths]

    async def answer(socket: ServerConnection) -> None:
        assert socket.request is not None
        held = files[int(socket.request.path.split("/")[1])]
        try:
            async for text in socket:
                message = orjson.loads(text)
                if message[0] == "REQ":
                    page = held.page(Filter.from_dict(message[2]), cap)
                    await send_page(socket, orjson.dumps(message[1]), page)
        except ConnectionClosed:
            pass  # the client has gone

    async with serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.1) as server:
        print("READY", next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
