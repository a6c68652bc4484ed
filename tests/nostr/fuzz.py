"""Bytes through every door of `nostr/`: nothing may come out but what is documented, and nothing may be kept.

`python -m tests.nostr.fuzz 1000000 [--seed 0]` says how many inputs went in, what escaped, and how memory went.
Inputs are mutations of real events and of valid frames, messages, URLs and documents, and random bytes. Each
follows from its seed and number alone, so that a failure can be had again: `--only NUMBER`.
"""

import argparse
import asyncio
import base64
import hashlib
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import process_time

import orjson
import psutil
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr import nip11
from bigbrotr_dagster.nostr.address import is_private_address
from bigbrotr_dagster.nostr.auth import Authenticator
from bigbrotr_dagster.nostr.connection import ConnectError, connect
from bigbrotr_dagster.nostr.event import EventError, event_from_json, verify_signature
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.frames import FrameSplitter
from bigbrotr_dagster.nostr.messages import AuthChallenge, Closed, NegErr, Notice, ProtocolError, parse_message
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url
from bigbrotr_dagster.nostr.subscription import Subscription
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.ingest import unstorable
from bigbrotr_dagster.storage.ingest.rows import pack_events
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from tests.nostr.helpers import KEY, tcp_server

SUB = "0123456789abcdef"
MAX_MESSAGE = 50_000
SILENCE = 2.0
"""Seconds that a conversation waits: some handshakes are cut, and then neither side says more."""

PER_SOCKET = 500
"""One input in so many is a whole conversation over a socket, which takes a hundred times as long."""

EVENTS = [
    line
    for line in (Path(__file__).parents[1] / "data" / "real_events.jsonl").read_bytes().splitlines()
    if len(line) < 3_000
]
MESSAGES = [
    b'["EOSE","0123456789abcdef"]',
    b'["EOSE","0123456789abcdef",["more"]]',
    b'["CLOSED","0123456789abcdef","auth-required: who are you?"]',
    b'["NOTICE","too many concurrent REQs \xf0\x9f\xab\x82"]',
    b'["AUTH","challenge"]',
    b'["OK","' + b"0" * 64 + b'",true,"duplicate: yes"]',
    b'["COUNT","0123456789abcdef",{"count":17}]',
]
TALK = [
    b'["NEG-MSG","0123456789abcdef","61"]',
    b'["NEG-MSG","0123456789abcdef","6186e5c8a40a000201%s"]' % (b"ab" * 32),
    b'["NEG-MSG","0123456789abcdef","61000001%s"]' % (b"cd" * 16),
    b'["NEG-MSG","0123456789abcdef","6100000202%s"]' % (b"ef" * 64),
    b'["NEG-ERR","0123456789abcdef","blocked: too many query results",1000]',
]
URLS = [
    "wss://relay.damus.io/",
    "ws://[2606:4700::1111]:7000/inbox?key=a,b",
    "wss://münchen.de/ä%20b",
    "ws://" + "a" * 56 + ".onion",
    "wss://xn--fa-hia.de:444",
    "ws://[64:ff9b::7f00:1]",
    "wss://127.0.0.1:17771/chat/",
    "wss://日本語。jp",
]
DOCUMENTS = [
    orjson.dumps({"name": "a relay", "supported_nips": [1, 11, 77], "limitation": {"max_limit": 500}}),
    orjson.dumps({"limitation": {"max_limit": 5000, "auth_required": False, "max_message_length": 131072}}),
]
NASTY = [
    *(b"\xff", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xef\xbb\xbf", b"\0", b"\x1b[2J", b"\r\n", b"\xe2\x80\xae"),
    *(rb"\ud800", rb"\udc80", rb"\u0000", rb"\u202e", rb"\"", b"\\", rb"\u00"),
    *(b"null", b"true", b"-0", b"-0.0", b"1e400", b"1e-400", b"1.5", b"17e8", b"9" * 25, b"1" * 5_000, b"NaN"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"[" * 2_000, b'{"a":' * 300, b'{"a":1,"a":1}', b"[[],[]]"),
    *(b',"kind":1', b',"created_at":5', b',"id":0', b'"EVENT"', b'"0123456789abcdef"', b"A", b"F" * 64),
    *(b".", b"..", b"@", b"%", b"%zz", b"#", b":0", b":65536", b"xn--", b"xn--a", b"0x7f", b"::", b"[::1]", b"/"),
    *("ß".encode(), "。".encode(), "\u200d".encode(), "İ".encode(), b"_", b"-", b"\\"),
    *(b"\x81", b"\x01\x05", b"\x89\x00", b"\x88\x02\x03\xe8", b"\x81\x7f\xff", b"\xc1\x00"),
]


def mutated(random: Random, raw: bytes) -> bytes:
    """`raw` after a few changes; now and then after none."""
    data = bytearray(raw)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(data) + 1)
        match random.randrange(7):
            case 0:
                data[at:at] = random.choice(NASTY)
            case 1:
                data[at : at + random.randint(1, 80)] = random.choice(NASTY)
            case 2:
                data[at : at + 1] = random.randbytes(1)
            case 3:
                del data[at : at + random.choice((1, 5, 200))]
            case 4:
                data[at:at] = data[at : at + random.choice((1, 9, 70))]
            case 5:  # a value, or a part of one
                at = data.find(random.choice((b":", b",")), at) + 1
                ends = [end for end in (data.find(mark, at) for mark in (b",", b"}", b"]")) if end >= 0]
                data[at : min(ends, default=at)] = random.choice(NASTY)
            case 6:
                del data[at:]
    return bytes(data)


def message(random: Random) -> bytes:
    """A message of a relay, most often an EVENT."""
    if random.random() < 0.3:
        return mutated(random, random.choice(MESSAGES + TALK))
    event = b'["EVENT","' + SUB.encode() + b'",' + mutated(random, random.choice(EVENTS)) + b"]"
    return event if random.random() < 0.7 else mutated(random, event)


def stream(random: Random) -> bytes:
    """What a relay sends after the handshake."""
    opcodes = [Opcode.TEXT] * 8 + list(Opcode)
    frames = []
    for _ in range(random.randint(1, 6)):
        opcode = random.choice(opcodes)
        payload = message(random) if opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) else random.randbytes(3)
        frame = bytearray(Frame(opcode, payload).serialize(mask=False))
        frame[0] &= 0xFF if random.random() < 0.9 else 0x7F  # without FIN
        frames.append(bytes(frame))
    sent = b"".join(frames)
    return sent if random.random() < 0.5 else mutated(random, sent)


# -- the doors --


def through_message(random: Random) -> str:
    raw = message(random) if random.random() < 0.8 else random.randbytes(random.randrange(60))
    try:
        found = parse_message(raw)
    except ProtocolError as error:
        return type(error).__name__
    if isinstance(found, AuthChallenge):
        Authenticator(KEY, "wss://relay.io").answer(found.challenge)
    if isinstance(found, Notice | Closed | NegErr):
        assert safe_line(found.text) == found.text
        assert found.text.isprintable()
    return type(found).__name__


def through_page(random: Random) -> str:
    """Whatever came, all of it is accounted for."""
    subscription = Subscription(SUB, Filter(kinds=(1, 7)), max_events=50, max_bytes=10**6, max_event_size=2_000)
    step: object = None
    for _ in range(random.randint(1, 4)):
        step = subscription.receive(message(random))
        if isinstance(step, Outcome):
            break
    page = subscription.finish(step if isinstance(step, Outcome) else Outcome(Ending.TIMEOUT))
    kept = len(page.events) + len(page.outside) + page.duplicates
    assert page.received == kept + page.refused + page.rejected_counts["off_filter"]
    assert len(page.rejected_at) <= page.refused <= page.rejected_counts.total()
    return str(page.outcome.ending)


def through_event(random: Random) -> str:
    raw = mutated(random, random.choice(EVENTS)) if random.random() < 0.95 else random.randbytes(50)
    try:
        event = event_from_json(raw)
    except EventError as error:
        return error.reason
    assert event_from_json(event.to_json()) == event
    if not unstorable(event):
        pack_events([event])
    return "genuine" if verify_signature(event) else "forged"


def through_url(random: Random) -> str:
    raw = mutated(random, random.choice(URLS).encode())
    text = raw.decode(errors=random.choice(("surrogateescape", "replace")))
    with suppress(ValueError):
        is_private_address(text.removeprefix("ws://"))
    try:
        relay = parse_relay_url(text)
    except InvalidRelayURL as error:
        return _printable(error)
    assert parse_relay_url(relay.url) == relay
    assert relay.url.isascii()
    return str(relay.network)


def through_document(random: Random) -> str:
    return type(nip11.read_limits(mutated(random, random.choice(DOCUMENTS)))).__name__


def through_frames(random: Random) -> str:
    """A stream in any pieces, through our splitter, websockets and a page."""
    protocol = ClientProtocol(parse_uri("ws://relay.example.com"), state=State.OPEN, max_size=MAX_MESSAGE)
    subscription = Subscription(SUB, Filter(), max_events=50, max_bytes=10**6)

    def other(data: bytes) -> bool:
        protocol.receive_data(data)
        protocol.events_received()
        return protocol.state is State.OPEN

    splitter = FrameSplitter(MAX_MESSAGE, on_text=subscription.receive, on_other=other)
    data = stream(random)
    while data:
        size = random.choice((1, 2, 9, 1_000, len(data)))
        splitter.feed(data[:size])
        data = data[size:]
    return protocol.state.name


def _printable(error: Exception) -> str:
    assert str(error).isprintable(), error
    return type(error).__name__


DOORS: dict[str, Callable[[Random], str]] = {
    "messages": through_message,
    "pages": through_page,
    "events": through_event,
    "URLs": through_url,
    "documents": through_document,
    "frames": through_frames,
}


# -- whole conversations, over a socket --


async def through_socket(random: Random) -> str:
    """A handshake, a REQ or a NEG-OPEN and what follows it; or a request for the NIP-11 document."""
    if random.random() < 0.3:
        return await _document_from(random)
    reconciles = random.random() < 0.4

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        key = asked.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        said += b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        writer.write(mutated(random, said) if random.random() < 0.5 else said)
        await writer.drain()
        id = await _subscription_asked_for(reader, writer)
        end = Frame(Opcode.TEXT, MESSAGES[0]).serialize(mask=False) if random.random() < 0.7 else b""
        talk = [mutated(random, random.choice(TALK)) for _ in range(random.randint(0, 4) if reconciles else 0)]
        answers = b"".join(Frame(Opcode.TEXT, said).serialize(mask=False) for said in talk)
        writer.write((answers + stream(random) + end).replace(SUB.encode(), id))
        await writer.drain()

    async with tcp_server(handler) as port:
        try:
            async with connect(
                parse_relay_url(f"ws://127.0.0.1:{port}"),
                timeout=SILENCE,
                allow_private=True,
                private_key=KEY,
                max_message_size=MAX_MESSAGE,
            ) as connection:
                if reconciles:
                    result = await connection.reconcile(Filter(), Reconciliation([]), max_bytes=10**6)
                    assert result.text.isprintable(), result
                    return f"talk {result.ending}"
                page = await connection.request(Filter(), max_events=50, max_bytes=10**6)
                return str(page.outcome.ending)
        except ConnectError as error:
            return _printable(error)


async def _subscription_asked_for(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The id in the client's first frame after its ping; frames are short and masked (RFC 6455, 5.3)."""
    while True:
        head = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        payload = await reader.readexactly(head[1] & 0x7F)
        plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        if head[0] & 0x0F != Opcode.PING:
            break
        writer.write(Frame(Opcode.PONG, plain).serialize(mask=False))
    is_asked = b'"REQ"' in plain or b'"NEG-OPEN"' in plain
    return plain.split(b'"')[3] if is_asked else SUB.encode()  # it may have been a pong


async def _document_from(random: Random) -> str:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = mutated(random, random.choice(DOCUMENTS))
        said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        writer.write(mutated(random, said))
        await writer.drain()

    async with tcp_server(handler) as port:
        relay = parse_relay_url(f"ws://127.0.0.1:{port}")
        found = await nip11.fetch_limitation(relay, timeout=SILENCE, proxy_url=None, allow_private=True)
        return type(found).__name__


# -- the run --


@dataclass(slots=True)
class Report:
    """What came of it: `ends` counts by door and end, `escaped` holds number, door and what came out."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    escaped: list[tuple[int, str, BaseException]] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    seconds: float = 0.0


async def fuzz(numbers: Sequence[int], seed: int = 0) -> Report:
    """Put the inputs with these numbers through; `resident`: bytes after each tenth of them."""
    report, started, process = Report(), process_time(), psutil.Process()
    every = max(1, len(numbers) // 10)
    for done, number in enumerate(numbers, 1):
        random = Random(f"{seed}:{number}")
        names = list(DOORS)
        name = names[number % len(names)]
        try:
            if number % PER_SOCKET == PER_SOCKET - 1:
                name = "conversations"
                end = await through_socket(random)
            else:
                end = DOORS[name](random)
            report.ends[name, end] += 1
        except Exception as exc:
            report.escaped.append((number, name, exc))
        if done % every == 0:
            report.resident.append(process.memory_info().rss)
    report.seconds = process_time() - started
    return report


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    for (door, end), count in sorted(report.ends.items()):
        yield f"{door:14} {end:18} {count:>9,}"
    total = report.ends.total() + len(report.escaped)
    yield f"{total:,} inputs in {report.seconds:.0f} s of CPU, {len(report.escaped)} exceptions escaped"
    for number, door, exc in report.escaped[:20]:
        yield f"  {number}: {door}: {exc!r:.300}"
    sizes = " ".join(f"{size / 2**20:.1f}" for size in report.resident)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield f"resident MB after each tenth: {sizes}; peak {peak:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one input")
    given = parser.parse_args()
    numbers = range(given.count) if given.only is None else [given.only]
    report = asyncio.run(fuzz(numbers, given.seed))
    print(*lines(report), sep="\n")
    if given.only is not None and report.escaped:
        raise report.escaped[0][2]
    return 1 if report.escaped else 0


if __name__ == "__main__":
    raise SystemExit(main())
