"""The stream of a WebSocket is cut as websockets itself would read it, however it arrives."""

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from bigbrotr_dagster.nostr.frames import FrameSplitter

MAX_SIZE = 70_000

payloads = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda size: b"x" * size, st.sampled_from([125, 126, 127, 65_535, 65_536, MAX_SIZE, MAX_SIZE + 1])),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """One frame of a server: valid by itself more often than not."""
    opcode = draw(st.sampled_from([Opcode.TEXT] * 6 + list(Opcode)))
    control = opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE)
    payload = draw(st.binary(max_size=125) if control else payloads)
    if opcode is Opcode.CLOSE:
        payload = b"\x03\xe8"
    frame = Frame(opcode, payload, fin=control or draw(st.integers(0, 5)) > 0)
    sent = frame.serialize(mask=draw(st.integers(0, 40)) == 0)
    reserved = 0x40 if draw(st.integers(0, 40)) == 0 else 0
    return bytes([sent[0] | reserved]) + sent[1:]


streams = st.one_of(
    st.lists(frames(), max_size=12).map(b"".join),
    st.tuples(st.lists(frames(), max_size=3).map(b"".join), st.binary(max_size=60)).map(b"".join),
)


class Client:
    """What a client has got from a server's stream."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://relay.example.com"), state=State.OPEN, max_size=MAX_SIZE)
        self.messages: list[bytes] = []
        self._fragments = b""

    def receive(self, data: bytes) -> bool:
        """Let websockets read it; whether the connection is open then."""
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in DATA_OPCODES:
                self._fragments += frame.data
                if frame.fin:
                    self.messages.append(self._fragments)
                    self._fragments = b""
        return self.protocol.state is State.OPEN

    def end(self) -> tuple[list[bytes], object, object, list[bytes]]:
        """The messages, how the connection closes, and what was answered."""
        answers = self.protocol.data_to_send()
        return self.messages, self.protocol.close_sent, self.protocol.close_rcvd, [each[:1] for each in answers]


@given(streams, st.lists(st.integers(1, 3_000), min_size=1, max_size=8))
@example(b"\x81\x05hello" * 3, [1])
@example(b"\x01\x02he\x81\x05hello\x80\x03llo", [100])  # a message in the middle of another
@example(b"\x01\x02he\x89\x00\x80\x03llo\x81\x01x", [3])  # a ping there is fine
@example(b"\x88\x02\x03\xe8\x81\x05hello", [100])  # after the end
@example(b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", [4])
def test_it_reads_what_websockets_reads(stream: bytes, pieces: list[int]) -> None:
    alone, helped = Client(), Client()
    splitter = FrameSplitter(MAX_SIZE, on_text=helped.messages.append, on_other=helped.receive)
    at = number = 0
    while at < len(stream):
        piece = stream[at : at + pieces[number % len(pieces)]]
        alone.receive(piece)
        splitter.feed(piece)
        at, number = at + len(piece), number + 1
    assert helped.end() == alone.end()


def test_websockets_is_left_what_is_no_whole_text() -> None:
    texts: list[bytes] = []
    others: list[bytes] = []
    splitter = FrameSplitter(10, on_text=texts.append, on_other=lambda data: not others.append(data))
    splitter.feed(b"\x81\x01a\x89\x01p\x81\x01b\x82\x01c\x81\x0bmore than 1\x81\x01d")
    assert texts == [b"a", b"b", b"d"]
    assert b"".join(others) == b"\x89\x01p\x82\x01c\x81\x0bmore than 1"
