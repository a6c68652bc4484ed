"""A relay program in a process of its own, for the time of a `with` block."""

import subprocess
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class RelayProcess(ABC):
    """Started, waited for, and killed in the end, whatever happens."""

    process: "subprocess.Popen[bytes]"

    @abstractmethod
    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start the program."""

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Return once it answers; raise if it does not."""

    def __enter__(self) -> Self:
        self.process = self.spawn()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
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
