"""One `dev` for a data folder, and nothing that it started outlives it, however it ends.

- `dev` holds a lock on `dev.lock`, which the kernel drops with the process: a second one is refused.
- A guardian, a process beside it, reads from a pipe whose other end `dev` alone holds, and never writes to. When
  the pipe ends, so has `dev`, and the guardian stops what is left of it, as `dev` itself would have: runs first.
- Should the guardian have been killed as well, the next `dev` on the folder does that.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from bigbrotr_dagster.cli.dev.processes import (
    DAGSTER_SECONDS,
    MARK,
    RUN_SECONDS,
    environment_of,
    interrupt_runs,
    stop_all,
)
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.private_files import make_data_dir, open_private

MODULE = "bigbrotr_dagster.cli.dev.guardian"
STOP_SECONDS = RUN_SECONDS + 2 * DAGSTER_SECONDS
"""Seconds within which everything has been stopped."""


class AlreadyRunning(CannotGoOn):
    """Another `dev` works in the folder; the message is one line."""


@contextmanager
def only_dev(data_dir: Path) -> Iterator[None]:
    """Be the only `dev` that works in the folder.

    Raises:
        AlreadyRunning: another one does.
        OSError: the folder cannot be made.
    """
    make_data_dir(data_dir)
    fd = open_private(data_dir / "dev.lock", os.O_RDWR)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 20, 0).decode().strip()
            raise AlreadyRunning(
                f"`dev` runs already on {data_dir} (process {pid}); BIGBROTR_DATA_DIR names another folder"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def guarded(data_dir: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have a guardian meanwhile, who stops the processes of this environment's mark if this one is killed.

    `folder`: one of their own, which is removed then.
    """
    unmarked = {name: value for name, value in environment.items() if name != MARK}
    guardian = subprocess.Popen(
        [sys.executable, "-m", MODULE, environment[MARK], str(data_dir), str(folder)],
        env=unmarked,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        try:
            guardian.communicate(timeout=STOP_SECONDS)  # closes the pipe
        except subprocess.TimeoutExpired:
            guardian.kill()
            guardian.communicate()


def stop_left_over(data_dir: Path) -> int:
    """Stop what a `dev` that was killed has left running; returns how many processes those were.

    The caller is the folder's only `dev`.
    """
    found = _left_over(data_dir)
    psutil.wait_procs(_guardians(data_dir), timeout=STOP_SECONDS)  # they are at it
    for mark in {environment_of(process).get(MARK, "") for process in _left_over(data_dir)} - {""}:
        stop_all(mark, interrupt_runs(mark))
    return len(found)


def _left_over(data_dir: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter()
        if (variables := environment_of(process)).get(MARK) and variables.get("BIGBROTR_DATA_DIR") == str(data_dir)
    ]


def _guardians(data_dir: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if MODULE in words and str(data_dir) in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def main(mark: str, data_dir: Path, folder: Path) -> None:
    """Wait for the end of `dev`, and stop what it has left."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal is gone, and with it perhaps `dev`
    sys.stdin.buffer.read()
    stop_all(mark, interrupt_runs(mark))
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError, embedded.EmbeddedUnavailable):  # its next user finds it
        embedded.stop_unused(data_dir)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
