"""A nameserver on loopback, over UDP and TCP, that answers as a test has it: real DNS messages (RFC 1035)."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bigbrotr_dagster.nostr.resolver import resolver

A, AAAA = 1, 28
NO_ERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
_TRUNCATED = 0x0200


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `type` is A or AAAA, `over_tcp` says how it came."""

    id: bytes
    name: str
    type: int
    raw: bytes
    over_tcp: bool

    def answer(self, addresses: Sequence[str] = (), *, code: int = NO_ERROR, flags: int = 0) -> bytes:
        """The message with those of the addresses that are of the type asked for."""
        packed = [ipaddress.ip_address(each).packed for each in addresses]
        wanted = [each for each in packed if len(each) == (4 if self.type == A else 16)]
        head = self.id + struct.pack(">HHHHH", 0x8180 | flags | code, 1, len(wanted), 0, 0)
        records = (struct.pack(">HHHIH", 0xC00C, self.type, 1, 300, len(each)) + each for each in wanted)
        return head + self.raw + b"".join(records)

    def truncated(self) -> bytes:
        return self.answer(flags=_TRUNCATED)


Reply = Callable[[Question], Sequence[bytes]]
"""The messages to send for a question: none, one, or several."""


def not_known(question: Question) -> Sequence[bytes]:
    return [question.answer(code=NXDOMAIN)]


def silent(question: Question) -> Sequence[bytes]:
    """A tarpit: no answer ever."""
    return []


@dataclass(slots=True)
class Nameserver(asyncio.DatagramProtocol):
    """`names` maps a name to its addresses, or to what is to be replied; all other names do not exist.

    `delay`: seconds before each answer over UDP.
    """

    names: Mapping[str, Sequence[str] | Reply]
    otherwise: Reply
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    address: str = ""
    transports: list[asyncio.DatagramTransport] = field(default_factory=list)

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        send = self.transports[0].sendto
        for message in self._replies(data, over_tcp=False):
            asyncio.get_running_loop().call_later(self.delay, send, message, client)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                for message in self._replies(await reader.readexactly(size), over_tcp=True):
                    writer.write(len(message).to_bytes(2) + message)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()

    def _replies(self, data: bytes, *, over_tcp: bool) -> Sequence[bytes]:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        kind = int.from_bytes(data[at + 1 : at + 3])
        question = Question(data[:2], ".".join(labels), kind, data[12 : at + 5], over_tcp)
        self.asked.append(question.name)
        known = self.names.get(question.name, self.otherwise)
        return known(question) if callable(known) else [question.answer(known)]


@asynccontextmanager
async def nameserver(
    names: Mapping[str, Sequence[str] | Reply], otherwise: Reply = not_known, *, delay: float = 0.0
) -> AsyncIterator[Nameserver]:
    """A running nameserver, which all that begins meanwhile in this context asks."""
    server = Nameserver(names, otherwise, delay)
    loop = asyncio.get_running_loop()
    listener = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
    server.transports.append(transport)
    server.address = f"127.0.0.1:{port}"
    try:
        async with listener, resolver([server.address]):
            yield server
    finally:
        transport.close()
