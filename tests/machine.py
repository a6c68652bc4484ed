"""How busy the machine is. A bound in seconds is what holds on an idle one; beside others, all of us are slower.

So bounds are stretched by how many processes want each core, as `/proc/loadavg` tells of the moment and of the
last minute: nothing is looser on an idle machine, and nothing fails because others use it too.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

SAMPLE_SECONDS = 0.2


def crowding() -> float:
    """Processes and threads that want each core, this one included: now, or lately if that is more; at least 1."""
    lately, _, _, tasks, _ = Path("/proc/loadavg").read_text().split()
    running, _, _ = tasks.partition("/")
    return max(1.0, max(int(running), float(lately)) / len(os.sched_getaffinity(0)))


@dataclass
class Timing:
    """`seconds`: how long it would have taken on an idle machine."""

    seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Time what is done here."""
    seen, ended = [crowding()], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            seen.append(crowding())

    watching = threading.Thread(target=watch, name="crowding")
    watching.start()
    timing, started = Timing(), time.monotonic()
    try:
        yield timing
        timing.seconds = (time.monotonic() - started) / mean(seen)
    finally:
        ended.set()
        watching.join()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if what is done here takes longer."""
    with timed() as timing:
        yield
    assert timing.seconds < seconds, f"{timing.seconds:.1f} s, not {seconds:g}"
