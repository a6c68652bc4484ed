"""What names a process among machines and containers, and what can be seen of one from here.

Host name and pid do not: containers share host names while each counts its pids by itself. The kernel's boot and
the PID namespace say where a pid means what, and the start time tells a process from a later one of the same pid.
It is counted in ticks since the boot, so a clock that is set does not change it.
"""

import os
import socket
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SELF = Path("/proc/self")
OWN_NAMESPACE = SELF / "ns/pid"
ENDED = ("Z", "X")
"""States of /proc/pid/stat: a zombie, which nobody has waited for yet, and one that is being removed."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """`host` is for people only; `start` is field 22 of /proc/pid/stat; `namespace` is an inode."""

    host: str
    pid: int
    start: int
    boot: str
    namespace: str

    def __str__(self) -> str:
        return " ".join(str(part) for part in astuple(self))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The name that `str` gave; None for any other text."""
        try:
            host, pid, start, boot, namespace = text.split()
            return cls(host, int(pid), int(start), boot, namespace)
        except ValueError:
            return None

    @classmethod
    def own(cls) -> Self | None:
        """This process; None where there is no /proc."""
        stat = _stat("self")
        try:
            boot, namespace = BOOT_ID.read_text().strip(), str(OWN_NAMESPACE.readlink())
        except OSError:
            return None
        if stat is None or not boot:
            return None
        return cls(socket.gethostname().strip() or "?", os.getpid(), stat[1], boot, namespace)

    def is_alive(self) -> bool | None:
        """Whether it still runs; None where that cannot be seen from here."""
        here = type(self).own()
        if here is None or (self.boot, self.namespace) != (here.boot, here.namespace):
            return None
        if str(SELF.readlink()) != str(os.getpid()):
            return None  # /proc is another namespace's
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        stat = _stat(str(self.pid))
        if stat is None:
            return None  # /proc hides it, or it ended just now
        state, start = stat
        return start == self.start and state not in ENDED


def _stat(process: str) -> tuple[str, int] | None:
    """State and start time of a process, from /proc; None where it is not shown."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the second field, a name in brackets, may hold anything
    return fields[0], int(fields[19])
