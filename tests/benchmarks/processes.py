"""Programs beside the benchmark: servers that say READY, and clients whose cost is measured."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.program import peak_memory

ROOT = Path(__file__).parents[2]

READY_WITHIN = 300.0
"""Seconds that a server has to read its events."""

RUN_WITHIN = 3600.0
"""Seconds that a client has to end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server on loopback."""

    port: int
    pid: int


@contextmanager
def serving(module: str, *arguments: object) -> Iterator[Serving]:
    """The server `python -m module arguments...`, which prints READY and its port; killed in the end."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN)
        said = process.stdout.readline().split() if readable else []
        if len(said) != 2 or said[0] != b"READY":
            raise RuntimeError(f"{module} did not start: {said}")
        yield Serving(int(said[1]), process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Ran:
    """A client's whole process: wall and CPU seconds (user and system), peak resident bytes, what it printed."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: dict[str, Any]


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ) -> Ran:
    """Run a client that prints one JSON object on its last line.

    Raises:
        RuntimeError: it failed, or did not end; the message holds what it said.
    """
    said, errors = folder / "stdout", folder / "stderr"
    with said.open("wb") as out, errors.open("wb") as err:
        started, peak = time.monotonic(), 0
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        try:
            while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                peak = max(peak, peak_memory(process.pid))
                if time.monotonic() - started > RUN_WITHIN:
                    raise RuntimeError(f"{command} has not ended within {RUN_WITHIN:.0f} s")
                time.sleep(0.02)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - started
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = said.read_text().splitlines()
    if process.returncode != 0 or not lines:
        raise RuntimeError(f"{command}: exit code {process.returncode}: {errors.read_text()[-2000:]}")
    return Ran(seconds, usage.ru_utime + usage.ru_stime, peak, json.loads(lines[-1]))


def run_module(module: str, folder: Path, **given: object) -> Ran:
    """Run a client of ours, `python -m module {"name": value, ...}`."""
    command = [sys.executable, "-m", module, json.dumps(given)]
    return run(command, folder, os.environ | {"PYTHONPATH": str(ROOT)})
