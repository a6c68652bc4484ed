"""SOCKS5 servers on loopback: one that notes what it is asked for, and microsocks, which nobody here wrote."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from tests.debian import program
from tests.nostr.helpers import tcp_server
from tests.ports import free_port


@dataclass
class Asked:
    """One request to the proxy; `address_type` 3 is a name (RFC 1928), `user` is empty if none was given."""

    user: str
    address_type: int
    host: str
    port: int


@asynccontextmanager
async def noting_socks(relay_port: int) -> AsyncIterator[tuple[str, list[Asked]]]:
    """A SOCKS5 server that leads every name to `relay_port` on loopback, as Tor leads to a hidden service."""
    asked: list[Asked] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        user = await _authenticate(reader, writer) if 2 in await reader.readexactly(count) else ""
        _, _, _, address_type, length = await reader.readexactly(5)
        host = (await reader.readexactly(length)).decode() if address_type == 3 else ""
        asked.append(Asked(user, address_type, host, int.from_bytes(await reader.readexactly(2), "big")))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", relay_port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    async with tcp_server(handler) as port:
        yield f"socks5://127.0.0.1:{port}", asked


async def _authenticate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """RFC 1929: any user is welcome."""
    writer.write(b"\x05\x02")
    _, length = await reader.readexactly(2)
    user = (await reader.readexactly(length)).decode()
    (length,) = await reader.readexactly(1)
    await reader.readexactly(length)
    writer.write(b"\x01\x00")
    return user


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def microsocks(*options: str) -> Iterator[int]:
    """Run microsocks, and yield its port."""
    port = free_port()
    command = [program("/usr/bin/microsocks", "microsocks"), "-i", "127.0.0.1", "-p", str(port), *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.3)  # it does not say when it is ready
        yield port
    finally:
        process.kill()
        process.wait()
