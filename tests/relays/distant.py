"""Distance: a TCP proxy on loopback that holds every byte for half a round trip, in each direction.

    python -m tests.relays.distant PORT ROUND_TRIP

forwards to 127.0.0.1:PORT, `ROUND_TRIP` seconds away; prints READY and its own port, and runs until it is killed.
Only delay is added: the bandwidth is loopback's, and what is under way is bounded by `UNDER_WAY` alone.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

READ_BYTES = 256 * 1024

UNDER_WAY = 256
"""Reads of at most `READ_BYTES` that one direction holds; then it stops reading."""

Held = asyncio.Queue[tuple[float, bytes]]


async def hold(reader: asyncio.StreamReader, held: Held, delay: float) -> None:
    """Put what is read, with the time at which it is to arrive; the end of the stream, or its loss, is empty."""
    data = b"-"
    while data:
        try:
            data = await reader.read(READ_BYTES)
        except ConnectionError:
            data = b""
        await held.put((asyncio.get_running_loop().time() + delay, data))


async def release(held: Held, writer: asyncio.StreamWriter) -> None:
    """Write everything when its time has come."""
    while True:
        due, data = await held.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        if not data:
            return
        writer.write(data)
        await writer.drain()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Copy until the stream ends at either side; each byte arrives `delay` seconds after it was read."""
    held = Held(UNDER_WAY)
    holding = asyncio.create_task(hold(reader, held, delay))
    try:
        await release(held, writer)
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        writer.close()


@asynccontextmanager
async def distant(port: int, round_trip: float) -> AsyncIterator[int]:
    """The port of a running proxy to `port`."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
        half = round_trip / 2
        await asyncio.gather(carry(reader, back, half), carry(there, writer, half), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0, limit=READ_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(port: int, round_trip: float) -> None:
    async with distant(port, round_trip) as proxy:
        print("READY", proxy, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
