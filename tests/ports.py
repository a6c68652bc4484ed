"""Ports for programs that cannot say which one the kernel gave them.

A port that was free a moment ago may be taken when the program starts: by another test run on this machine, or by
an outgoing connection, to which the kernel gives any port of its range. So ours are below that range, and claimed.
"""

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

RANGE = range(20_000, 30_000)

_claims: dict[int | str, socket.socket] = {}
_random = random.Random(os.urandom(8))  # not the tests' own sequence, which is the same in every run


def free_port() -> int:
    """A loopback port that nobody listens on, and that no other call returns while this process lives."""
    for port in _random.sample(RANGE, len(RANGE)):
        if _claim(port) and _is_free(port):
            return port
    raise OSError(f"no port is free from {RANGE.start} to {RANGE.stop}")


@contextmanager
def practice_ports() -> Iterator[None]:
    """The practice relays' ports, which are the same for all: one test of this machine at a time has them."""
    assert "practice" not in _claims, "a fixture of this process has them until it ends: see side_by_side.TOGETHER"
    while not _claim("practice"):
        time.sleep(0.2)
    try:
        yield
    finally:
        _claims.pop("practice").close()


def _claim(what: int | str) -> bool:
    """An abstract name: one process has it, and loses it with its life, whatever ends that."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0bigbrotr-dagster-test-port-{what}")
    except OSError:
        claim.close()
        return False
    _claims[what] = claim
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
