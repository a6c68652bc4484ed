"""The program as its users start it: a process of its own, in an empty folder."""

import json
import os
import re
import subprocess
import sys
import time
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


def said(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    """What a program of this Python's environment prints; it has to end well and to complain of nothing."""
    program, *arguments = command
    result = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    assert "ERROR" not in text
    assert "Traceback" not in text
    return text


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


def run(home: Path, *arguments: str, timeout: float = 300, **changes: str) -> Result:
    """Run the command to its end.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; it is killed.
    """
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
        deadline, peak = time.monotonic() + timeout, 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise TimeoutError(f"{arguments} has not ended within {timeout} s: {err.read_text()}")
            time.sleep(0.02)
    return Result(process.returncode, out.read_text(), err.read_text(), peak)


def peak_memory(pid: int) -> int:
    """Peak resident memory so far, in bytes. (The rusage of a child would count ours, from before its exec.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
