"""Signed events for the benchmarks, the same on every machine; kept as files: signing a million takes minutes."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

from bigbrotr_dagster.nostr.event import Tag
from bigbrotr_dagster.nostr.keys import public_key, sign_event

END = 1_750_000_000
"""Second of the newest event: long past, whenever the benchmarks are run."""

SPAN = 10_000_000
"""Seconds of the history."""

CROWD = 50
"""Events of a crowded second: fewer than any page, for BigBrotr loses what a page does not hold."""

CHUNK = 10_000
"""Events that one task signs."""

_KEYS = [number.to_bytes(32, "big") for number in range(1, 201)]
_AUTHORS = [public_key(key) for key in _KEYS]
_KINDS = (*[1] * 50, *[7] * 25, *[6] * 10, *[9735] * 10, *[1111] * 5)  # none that a relay replaces
_WORDS = [
    "gm",
    "nostr",
    "relay",
    "tide",
    "🤙",
    "harbor",
    "日本語",
    "naïve",
    "⚡",
    "archive",
    "the",
    "of",
    "a",
    "and",
]


def events_file(folder: Path, count: int, seed: int = 1) -> Path:
    """A JSON-lines file of `count` events in `folder`, oldest first; signed unless it is there from before.

    More of them are new than old, and every 20th is in a crowded second. An event is about 800 bytes.
    """
    path = folder / f"events-{count}-{seed}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as out:
            for chunk in _signed(_times(count, Random(seed)), seed):
                out.write(chunk)
        unfinished.rename(path)
    return path


def _times(count: int, random: Random) -> list[int]:
    span = max(SPAN, 20 * count)
    crowded = [END - random.randrange(span) for _ in range(max(1, count // (20 * CROWD)))]
    return sorted(
        random.choice(crowded) if random.random() < 1 / 20 else END - int(span * random.random() ** 2)
        for _ in range(count)
    )


def _signed(times: list[int], seed: int) -> Iterator[bytes]:
    chunks = [times[start : start + CHUNK] for start in range(0, len(times), CHUNK)]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as workers:
        yield from workers.map(_sign, chunks, (f"{seed} {number}" for number in range(len(chunks))))


def _sign(times: list[int], seed: str) -> bytes:
    """JSON lines, one for each time."""
    random = Random(seed)
    lines = []
    for created_at in times:
        event = sign_event(
            random.choice(_KEYS),
            created_at=created_at,
            kind=random.choice(_KINDS),
            tags=_tags(random),
            content=f"{random.getrandbits(64):x} " + " ".join(random.choices(_WORDS, k=_length(random))),
            aux_randomness=bytes(32),
        )
        lines.append(event.to_json() + b"\n")
    return b"".join(lines)


def _length(random: Random) -> int:
    """Words: few as a rule, many at times."""
    return min(2_000, int(random.expovariate(1 / 40)))


def _tags(random: Random) -> list[Tag]:
    tags: list[Tag] = []
    for _ in range(random.choice((0, 0, 1, 2, 2, 4))):
        tags.append(["e", random.randbytes(32).hex(), "", "reply"])
        tags.append(["p", random.choice(_AUTHORS)])
    return [*tags, ["t", random.choice(_WORDS)]]
