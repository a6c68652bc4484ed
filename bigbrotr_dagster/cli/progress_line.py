"""One line on a terminal that says how the cycle under way is doing."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bigbrotr_dagster.cli.logs import is_json
from bigbrotr_dagster.sync import Progress

EVERY = 0.5
"""Seconds between two updates."""


@contextmanager
def progress_line(progress: Progress) -> Iterator[None]:
    """Show `progress` on stderr meanwhile; nothing where stderr is no terminal, or for machines."""
    if not sys.stderr.isatty() or is_json():
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(progress, over), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _show(progress: Progress, over: threading.Event) -> None:
    seen, at, rate = 0, time.monotonic(), 0.0
    while not over.wait(EVERY):
        now = time.monotonic()
        rate += 0.5 * ((progress.events_received - seen) / (now - at) - rate)  # smoothed over a few updates
        seen, at = progress.events_received, now
        line = (
            f"{progress.events_received:,} events, {progress.relays_done}/{progress.relays} relays, {rate:,.0f}/s"
        )
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
