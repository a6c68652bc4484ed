"""Kill processes of others that may be about to end by themselves."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def kill_each(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each; one that has ended since it was listed needs none."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
