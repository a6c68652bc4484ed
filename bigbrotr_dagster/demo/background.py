"""The practice relays in a process of their own, for commands that have other work to do."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from bigbrotr_dagster.demo.practice import URLS, PortInUse

STOP_SECONDS = 5.0
UNTIL_INPUT_ENDS = "--until-input-ends"


@contextlib.contextmanager
def serve_in_background() -> Iterator[tuple[str, ...]]:
    """Serve the practice relays meanwhile, and yield their URLs.

    Raises:
        PortInUse: another program listens on one of their ports.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bigbrotr_dagster.demo", UNTIL_INPUT_ENDS],
        stdin=subprocess.PIPE,  # it ends with this process, however that ends
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the command; it stops them when it is done
    )
    try:
        if not process.stdout or not process.stdout.readline():
            _, complaint = process.communicate(timeout=STOP_SECONDS)
            raise PortInUse(complaint.strip().removeprefix("error: ") or "the practice relays did not start")
        yield tuple(URLS)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
