"""`many_relays` in a process of its own, and what a benchmark says to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.many_relays import Ports


@dataclass(frozen=True)
class Relays:
    """The running program; `urls` are all its relays, in order of their numbers."""

    process: "subprocess.Popen[str]"
    urls: list[str]

    def more(self) -> None:
        """Give one relay in ten 20 new events."""
        self._say("more")

    def most_connections(self) -> int:
        """Connections at once, at most, since this was asked last."""
        return self._say("most")

    def _say(self, word: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def many_relays(count: int, *, documents: bool = False) -> Iterator[Relays]:
    """The program with so many relays; with `documents` each has one for who asks by HTTP (NIP-11)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.many_relays", str(count), *["--documents"][: int(documents)]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ports = Ports(*(int(word) for word in process.stdout.readline().split()))
        yield Relays(process, [ports.url(number) for number in range(count)])
    finally:
        process.kill()
        process.communicate()
