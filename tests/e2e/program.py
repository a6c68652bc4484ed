"""The program as its users start it: a process of its own, in an empty folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Result(NamedTuple):
    """`max_rss` is the peak resident memory of the process in bytes."""

    code: int
    stdout: str
    stderr: str
    max_rss: int

    @property
    def report(self) -> dict[str, Any]:
        """The JSON object on the last line of stdout."""
        report: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return report


def environment(home: Path, **changes: str) -> dict[str, str]:
    """Nothing of ours but what is given."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("BIGBROTR_", "DAGSTER_", "NOSTR_"))
    }
    return kept | {"HOME": str(home)} | changes


def start(home: Path, *arguments: str, **changes: str) -> "subprocess.Popen[str]":
    """Start the command with the folder `home` to work in."""
    return subprocess.Popen(
        [sys.executable, "-m", "bigbrotr_dagster", *arguments],
        cwd=home,
        env=environment(home, **changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(home: Path, *arguments: str, timeout: float = 120, **changes: str) -> Result:
    """Run the command to its end; its memory is that of /usr/bin/time -v."""
    out, err = home / "stdout", home / "stderr"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "bigbrotr_dagster", *arguments],
            cwd=home,
            env=environment(home, **changes),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.setitimer(signal.ITIMER_REAL, timeout)
        _, status, usage = os.wait4(process.pid, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Result(process.returncode, out.read_text(), err.read_text(), usage.ru_maxrss * 1024)
