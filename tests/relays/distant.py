"""Distance: a TCP proxy on loopback that holds every byte for half a round trip, in each direction.

    python -m tests.relays.distant PORT ROUND_TRIP

forwards to 127.0.0.1:PORT, `ROUND_TRIP` seconds away; prints READY and its own port, and runs until it is killed.
Only delay is added: the bandwidth is loopback's, and what is under way is bounded by `MAX_UNDER_WAY` alone.
"""

import asyncio
import sys
from collections import deque

READ_BYTES = 256 * 1024

MAX_UNDER_WAY = 64 * 1024 * 1024
"""Bytes that one direction holds; beyond them it stops reading."""


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Copy until the end of `reader`; each byte arrives `delay` seconds after it was read."""
    loop = asyncio.get_running_loop()
    under_way: deque[tuple[float, bytes]] = deque()
    held = 0
    changed = asyncio.Condition()

    async def read() -> None:
        nonlocal held
        data = b"-"
        while data:
            data = await reader.read(READ_BYTES)
            async with changed:
                await changed.wait_for(lambda: held < MAX_UNDER_WAY)
                under_way.append((loop.time() + delay, data))
                held += len(data)
                changed.notify_all()

    reading = asyncio.create_task(read())
    try:
        while True:
            async with changed:
                await changed.wait_for(lambda: under_way)
                due, data = under_way.popleft()
                held -= len(data)
                changed.notify_all()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                return
            writer.write(data)
            await writer.drain()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.close()


async def run(port: int, round_trip: float) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
        half = round_trip / 2
        await asyncio.gather(carry(reader, back, half), carry(there, writer, half), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0, limit=READ_BYTES)
    print("READY", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
