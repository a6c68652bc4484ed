"""A line to a relay that is cut in the middle of an answer: a TCP proxy on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

READ_BYTES = 64 * 1024


@dataclass
class Line:
    """Carries `left` more bytes from the relay; then `then` is called, and nobody is let through until `mend`."""

    relay_port: int
    left: float
    then: Callable[[], None]
    port: int = 0
    is_cut: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def mend(self) -> None:
        self.left, self.is_cut = float("inf"), False

    def _cut(self) -> None:
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()
        self.then()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.relay_port)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer, counted=True))
        finally:
            self._open -= {writer, back}
            writer.close()
            back.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                if counted:
                    data = data[: int(min(self.left, len(data)))]
                    self.left -= len(data)
                writer.write(data)
                await writer.drain()
                if self.left <= 0 and not self.is_cut:
                    self._cut()
        writer.close()


@asynccontextmanager
async def cut_off(relay_port: int, after: int, then: Callable[[], None]) -> AsyncIterator[Line]:
    """A running line of which `after` bytes of the relay's are let through before it is cut."""
    line = Line(relay_port, after, then)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    async with server:
        line.port = server.sockets[0].getsockname()[1]
        yield line
