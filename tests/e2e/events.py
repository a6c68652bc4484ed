"""Many signed events, as a relay might hold them: several kinds, busy and quiet times, crowded seconds."""

from collections.abc import Iterable
from pathlib import Path
from random import Random

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.keys import sign_event

KINDS = (1, 1, 1, 1, 7, 7, 7, 9735, 6, 1111, 42, 1984)
END = 1_795_000_000


def write_events(path: Path, count: int, seed: int = 1) -> dict[str, int]:
    """Write `count` events as JSON lines, ascending by created_at; returns created_at by id."""
    random = Random(seed)
    keys = [random.randbytes(32) for _ in range(50)]
    crowded = [END - random.randrange(10**7) for _ in range(count // 1000)]
    times = [
        random.choice(crowded) if random.random() < 0.05 else END - int(10**7 * random.random() ** 2)
        for _ in range(count)
    ]
    return _write(
        path,
        (
            sign_event(
                random.choice(keys),
                created_at=created_at,
                kind=random.choice(KINDS),
                tags=[["t", "nostr"], ["e", random.randbytes(32).hex()]],
                content=f"{number} " + "gm 🤙 " * random.randrange(40),
                aux_randomness=bytes(32),
            )
            for number, created_at in enumerate(sorted(times))
        ),
    )


CROWD_KINDS = (*sorted(set(KINDS)), 4, 16, 40, 1063, 1311, 1985, 9802, *range(2_000, 2_015))
"""Of a crowd: some are common, some are in nobody's list."""


def write_crowd(path: Path, crowd: int, others: int) -> tuple[int, dict[str, int]]:
    """Write `crowd` events of one second and `others` around it; returns the second, and created_at by id."""
    random = Random(2)
    keys = [random.randbytes(32) for _ in range(40)]
    second = END - 10**6
    times = [second] * crowd + [
        second + random.choice((-1, 1)) * random.randrange(1, 10**6) for _ in range(others)
    ]
    return second, _write(
        path,
        (
            sign_event(
                random.choice(keys),
                created_at=created_at,
                kind=random.choice(CROWD_KINDS),
                tags=[],
                content=str(number),
                aux_randomness=bytes(32),
            )
            for number, created_at in enumerate(sorted(times))
        ),
    )


def _write(path: Path, events: Iterable[Event]) -> dict[str, int]:
    written = {}
    with path.open("wb") as out:
        for event in events:
            out.write(event.to_json() + b"\n")
            written[event.id] = event.created_at
    return written
