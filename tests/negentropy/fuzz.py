"""Bytes in place of a relay's answers: nothing may come out but a `NegentropyError`, and nothing without end.

`python -m tests.negentropy.fuzz 1000000 [SEED]` says how the conversations ended. Each of them follows from its
seed and number alone. Most answers are honest ones with a few bytes, or a few ranges, changed; the first ones of a
conversation may be left as they are, so that the changed ones come in the middle of it.
"""

import sys
from collections import Counter
from random import Random

from bigbrotr_dagster.negentropy import NegentropyError, Reconciliation
from tests.negentropy.relay_side import ID_LIST, INFINITY, Item, RelaySide, Sent, read, varint, written

MAX_ROUNDS = 2
SIZES = (0, 1, 20, 40, 80, 150)

NASTY = [
    *(b"\0", b"\0\0", b"\0\0\0", b"\0\0\1", b"\0\0\2\0", b"\1\0\0", b"\1\0\2\x7f", b"\1\x20", b"\1\x21"),
    *(b"\x80", b"\x81\0", b"\xff", b"\xff" * 9, b"\xff" * 10, varint(2**63), varint(2**64 - 1), varint(2**64)),
    *(bytes(16), bytes(32), b"\xff" * 32, b"\2\1" + bytes(32), b"`", b"a", b"b"),
]


def items(random: Random, size: int) -> list[Item]:
    return [(random.randrange(40), random.randbytes(32)) for _ in range(size)]


def bytes_changed(random: Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(data) + 1)
        cut = random.choice((0, 0, 1, 2, 16, 32, len(data)))
        put = random.choice((b"", random.choice(NASTY), random.randbytes(1), bytes(data[at : at + 19])))
        data[at : at + cut] = put
    return bytes(data)


def ranges_changed(random: Random, raw: bytes) -> bytes:
    """As a relay that writes well, and lies."""
    ranges = read(raw)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(ranges) + 1)
        upper = ranges[min(at, len(ranges) - 1)].upper if ranges else INFINITY
        made = [
            Sent(upper, 0, b""),
            Sent(upper, 1, random.randbytes(16)),
            Sent(upper, ID_LIST, [random.randbytes(32) for _ in range(random.choice((0, 1, 40)))]),
            Sent((random.randrange(45), random.randbytes(random.choice((0, 0, 1, 32)))), 1, random.randbytes(16)),
        ]
        ranges[at : at + random.choice((0, 1, 1, 3))] = random.sample(made, random.choice((0, 1, 1, 2)))
    in_order = random.random() < 0.8
    return written(sorted(ranges, key=lambda sent: sent.upper if in_order else sent.upper[:1]))


def conversation(random: Random) -> str:
    """Have one, and say how it ended."""
    common = items(random, random.choice(SIZES))
    ours, theirs = common + items(random, random.choice(SIZES)), common + items(random, random.choice(SIZES))
    relay = RelaySide(theirs, list_below=random.choice((16, 32)))
    client = Reconciliation(ours, frame_limit=4_096, max_need=200, max_open=100, max_rounds=MAX_ROUNDS)
    message: bytes | None = client.open()
    honest = random.choice((0, 0, 1, 2))
    while message is not None:
        answer = relay.answer(message)
        if client.rounds >= honest:
            change = random.choice((bytes_changed, ranges_changed, lambda random, raw: raw))
            answer = change(random, answer) if random.random() < 0.97 else random.randbytes(random.randrange(60))
        try:
            message = client.answered(answer)
        except NegentropyError as error:
            return type(error).__name__
        assert client.rounds <= MAX_ROUNDS
        assert len(client.need) <= 200
    held = {id for _, id in ours}
    assert client.finished
    assert client.need.keys().isdisjoint(held)
    assert client.have.keys() <= held
    return "finished"


def fuzz(count: int, seed: int = 0) -> Counter[str]:
    """How so many conversations ended."""
    return Counter(conversation(Random(f"{seed}:{number}")) for number in range(count))


if __name__ == "__main__":
    print(fuzz(*map(int, sys.argv[1:])))
