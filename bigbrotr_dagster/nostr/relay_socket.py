"""The WebSocket to a relay: websockets' connection, but for a quicker way of receiving.

websockets does the handshake, control frames, fragmented messages, closing and whatever breaks the protocol. Whole
text messages, which is what a relay sends by the million, are cut out of the stream before it (see `frames.py`).
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.protocol import Event, State

from bigbrotr_dagster.nostr.frames import FrameSplitter

MAX_UNSENT = 1024 * 1024
"""Bytes that may wait for a relay that does not read: it can make us answer pings without end."""

MAX_UNREAD = 256 * 1024
"""Bytes that may wait for `receive` before the socket is no longer read; what one read brings comes on top."""

MOST_FRAGMENTS = 4096
"""Frames of one message: they may be empty, and then no bound in bytes ends them."""

_HANDSHAKE_ENDS = b"\r\n\r\n"

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


class RelaySocket(ClientConnection):
    """A connection whose messages are taken by `receive`, for nothing comes by `recv`.

    It drops a peer who makes it answer but does not read.

    It acknowledges at once: many relays hold back the end of an answer until what came before is acknowledged
    (Nagle's algorithm, RFC 896), and TCP may put that off for 40 ms.
    """

    def __init__(self, *args: Any, max_message_size: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages: deque[bytes] = deque()
        self._unread = 0  # bytes that were read since there last was no message
        self._reading = True
        self._arrival: asyncio.Future[None] | None = None
        self._fragments: list[bytes] = []
        self._response_end = b""  # the last bytes of the handshake's response so far
        self._splitter = FrameSplitter(
            max_message_size, on_text=self._messages.append, on_other=self._leave_to_websockets
        )
        self._take: Callable[[bytes], None] = self._take_response

    async def receive(self) -> bytes:
        """Return the next message's payload, be it text or binary.

        Raises:
            ConnectionClosed: there is none, and none will come.
        """
        while not self._messages:
            await self._wait()
        return self._messages.popleft()

    def left(self) -> list[bytes]:
        """The messages that have come and were not received, without waiting for more."""
        messages = list(self._messages)
        self._messages.clear()
        return messages

    async def _wait(self) -> None:
        if self.connection_lost_waiter.done():
            raise self.protocol.close_exc
        self._unread = 0
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        self._arrival = self.loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        self._take(data)
        self._unread += len(data)
        if self._messages:
            self._end_wait()
            if self._unread > MAX_UNREAD and self._reading:
                self._reading = False
                self.transport.pause_reading()
        if _QUICKACK is not None:  # each time: the kernel forgets it after a while
            with suppress(OSError):  # the socket may be closed by now
                self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.transport.get_write_buffer_size() > MAX_UNSENT:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end from the transport."""
        super().connection_lost(exc)
        self._end_wait()

    def process_event(self, event: Event) -> None:
        """Take what websockets made of the bytes that were left to it."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))  # of `max_message_size` bytes in all: websockets counts them
        if event.fin:
            self._messages.append(b"".join(self._fragments))
            self._fragments.clear()
        elif len(self._fragments) == MOST_FRAGMENTS:
            self._fragments.clear()
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.send_data()

    def _take_response(self, data: bytes) -> None:
        """Leave the handshake's response to websockets; frames may follow it in the same piece."""
        before = len(self._response_end)
        seen = self._response_end + data
        found = seen.find(_HANDSHAKE_ENDS)
        if found < 0:
            self._response_end = seen[1 - len(_HANDSHAKE_ENDS) :]
            super().data_received(data)
            return
        end = found + len(_HANDSHAKE_ENDS) - before
        self._take = self._splitter.feed if self._leave_to_websockets(data[:end]) else super().data_received
        if end < len(data):
            self._take(data[end:])

    def _leave_to_websockets(self, data: bytes) -> bool:
        """Tell whether the connection is open after that."""
        super().data_received(data)
        return self.state is State.OPEN

    def _end_wait(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
