"""Where the frames of a WebSocket begin and end (RFC 6455, 5.2), for a client that is sent thousands a second.

Nearly all that a relay sends are whole text messages, each in one frame. They are cut out here, in about a
microsecond each; every other frame is left to websockets, byte by byte as it came. Pure: no I/O.
"""

import sys
from collections.abc import Callable

_WHOLE_TEXT = 0x81  # FIN, opcode 1; no extension
_FIN = 0x80
_OPCODES = {0, 1, 2, 8, 9, 10}
_CONTROL = 0x08  # close, ping, pong
_LENGTH_IN_2, _LENGTH_IN_8, _MASKED = 126, 127, 128

_WITHOUT_END = sys.maxsize


class FrameSplitter:
    """Takes what a server sends after the handshake, in any pieces.

    `on_text` is given the payload of each frame that is a whole text message of at most `max_size` bytes,
    `on_other` the bytes of everything else, also of what breaks the protocol; both in the order of arrival.
    Once `on_other` has returned False, the connection is not open any more, and all else goes there.
    """

    def __init__(
        self, max_size: int, *, on_text: Callable[[bytes], object], on_other: Callable[[bytes], bool]
    ) -> None:
        self._max_size = max_size
        self._on_text = on_text
        self._on_other = on_other
        self._begun = bytearray()  # a frame that is not whole yet
        self._needed = 0  # bytes of it until it is worth another look
        self._passing = 0  # bytes of the present frame that are for the other side
        self._fragmented = False  # a message of several frames is under way

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._begun:
            self._begun += data
            if len(self._begun) < self._needed:
                return
            data = bytes(self._begun)
            self._begun.clear()
        at = 0
        while at < len(data):
            end = self._pass(data, at) if self._passing else self._cut(data, at)
            if end == at:
                self._begun += data[at:]
                return
            at = end

    def _cut(self, data: bytes, at: int) -> int:
        """Deal with the frame that begins at `at`; returns where it ends in `data`, or `at` if more is needed."""
        size = len(data)
        self._needed = 2
        if size - at < 2:
            return at
        length = data[at + 1]
        start = at + 2
        if length >= _MASKED or data[at] & ~_FIN not in _OPCODES:
            self._passing = _WITHOUT_END  # no server may do that; what follows is no frame
            return self._pass(data, at)
        if length >= _LENGTH_IN_2:
            start += 2 if length == _LENGTH_IN_2 else 8
            self._needed = start - at
            if size < start:
                return at
            length = int.from_bytes(data[at + 2 : start])
        if data[at] == _WHOLE_TEXT and not self._fragmented and length <= self._max_size:
            end = start + length
            if end > size:
                self._needed = end - at
                return at
            self._on_text(data[start:end])
            return end
        if not data[at] & _CONTROL:  # such frames come between those of a message
            self._fragmented = not data[at] & _FIN
        self._passing = start - at + length
        return self._pass(data, at)

    def _pass(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._passing)
        self._passing -= end - at
        if not self._on_other(data[at:end]):
            self._passing = _WITHOUT_END
        return end
