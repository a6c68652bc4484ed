"""A relay program in a process of its own, for the time of a `with` block."""

import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

READY_WITHIN = 120.0
"""Seconds."""


class RelayProcess(ABC):
    """Started, waited for, and killed in the end, whatever happens."""

    process: "subprocess.Popen[bytes]"
    port: int
    url: str

    @abstractmethod
    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start the program."""

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Return once it answers; raise if it does not."""

    def start(self) -> None:
        """Start it, again after `stop`: with the same address, and what it has kept."""
        self.process = self.spawn()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the relay; twice does no harm."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_for_a_handshake(self, url: str, log: Path) -> None:
        """Return once the relay at `url` accepts connections; what it said is in `log`."""
        deadline = time.monotonic() + READY_WITHIN
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                with connect(url):
                    return
            except (OSError, InvalidHandshake):
                time.sleep(0.05)
        raise RuntimeError(f"the relay at {url} did not start: {log.read_text()}")
