"""What each kind of process takes while a benchmark runs: CPU seconds and resident memory, once a second."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

EVERY = 1.0
"""Seconds between two looks. A process that ends between them has used that much more than is told."""

KINDS = (
    ("dagster-webserver", "webserver"),
    ("dagster_webserver", "webserver"),
    ("dagster._daemon", "daemon"),
    ("dagster-daemon", "daemon"),
    ("api grpc", "code server"),
    ("code-server", "code server"),
    ("multiprocessing.resource_tracker", "helpers"),
    ("execute_run", "run"),
    ("multiprocessing.spawn", "run"),
    ("dagster dev", "dev"),
)
"""Part of a command line, and the kind of process that has it."""


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process and of all that descends from it, also of what has ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def kind_of(command_line: str) -> str:
    """The kind of a process of Dagster's; `other` where none fits."""
    return next((kind for part, kind in KINDS if part in command_line), "other")


@dataclass
class Taken:
    """What one process took: CPU seconds (user and system) since the first look, resident bytes."""

    kind: str
    first_cpu: float
    cpu: float
    resident: int = 0
    peak: int = 0


@dataclass
class Usage:
    """What was seen of a program and of PostgreSQL; `most_backends` counts PostgreSQL's processes at once."""

    program: psutil.Process
    server: psutil.Process
    processes: dict[tuple[int, float], Taken] = field(default_factory=dict)
    most_backends: int = 0
    most_runs: int = 0

    def look(self, *, is_first: bool = False) -> None:
        backends = self.server.children(recursive=True)
        self.most_backends = max(self.most_backends, len(backends))
        for one in [self.server, *backends]:
            self._note(one, is_first, "PostgreSQL")
        noted = [self._note(one, is_first) for one in [self.program, *self.program.children(recursive=True)]]
        self.most_runs = max(self.most_runs, noted.count("run"))

    def _note(self, process: psutil.Process, is_first: bool, kind: str = "") -> str:
        try:
            with process.oneshot():
                key = (process.pid, process.create_time())
                times, resident = process.cpu_times(), process.memory_info().rss
                cpu = times.user + times.system
                # A program is named by what it executes, which may come a moment after its start.
                name = kind or kind_of(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            return ""
        seen = self.processes.setdefault(key, Taken(name, cpu if is_first else 0.0, cpu))
        seen.kind, seen.cpu, seen.resident = name or seen.kind, cpu, resident
        seen.peak = max(seen.peak, resident)
        return seen.kind

    def lines(self) -> Iterator[str]:
        """A line for each kind of process."""
        kinds: defaultdict[str, list[Taken]] = defaultdict(list)
        for one in self.processes.values():
            kinds[one.kind].append(one)
        for kind, all_of_it in sorted(kinds.items()):
            cpu = sum(one.cpu - one.first_cpu for one in all_of_it)
            yield (
                f"{kind}: {len(all_of_it)} processes, CPU {cpu:.1f} s; the largest is resident with"
                f" {max(one.peak for one in all_of_it) / 1e6:.0f} MB at most,"
                f" {max(one.resident for one in all_of_it) / 1e6:.0f} MB at last"
            )
        yield f"at once, at most: {self.most_runs} runs, {self.most_backends} processes of PostgreSQL"


@contextmanager
def watched(program: psutil.Process, server: psutil.Process) -> Iterator[Usage]:
    """Look at both, and at all that descends from them, until the end of the block."""
    usage = Usage(program, server)
    usage.look(is_first=True)
    is_over = threading.Event()

    def look_again() -> None:
        while not is_over.wait(EVERY):
            usage.look()

    looking = threading.Thread(target=look_again, daemon=True)
    looking.start()
    try:
        yield usage
    finally:
        is_over.set()
        looking.join()
        usage.look()
