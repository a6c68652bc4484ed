"""What a client measures of itself: wall time, CPU, resident memory. The standard library only: BigBrotr's
runner reads this file, too, in an environment that has nothing of ours."""

import functools
import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """User and system time of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Meter:
    """Starts at the first call of a method that `watch` was given, so that imports and connecting do not count."""

    def __init__(self) -> None:
        self._started: tuple[float, float] | None = None

    def watch(self, owner: type, name: str) -> None:
        """Let the first call of the coroutine method `owner.name` start the clocks."""
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        @functools.wraps(original)
        async def noted(*args: Any, **kwargs: Any) -> Any:
            if self._started is None:
                self._started = (time.monotonic(), cpu_seconds())
            return await original(*args, **kwargs)

        setattr(owner, name, noted)

    def read(self) -> dict[str, float]:
        """Wall and CPU seconds since the start.

        Raises:
            RuntimeError: what was to be watched was never called, so there is nothing to tell.
        """
        if self._started is None:
            raise RuntimeError("no request was made by the method that is watched")
        started, cpu = self._started
        return {"seconds": time.monotonic() - started, "cpu_seconds": cpu_seconds() - cpu}
