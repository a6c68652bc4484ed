"""Ports for programs that cannot say which one the kernel gave them.

A port that was free a moment ago may be taken when the program starts: by another test run on this machine, or by
an outgoing connection, to which the kernel gives any port of its range. So ours are below that range, and claimed.
"""

import os
import random
import socket

RANGE = range(20_000, 30_000)

_claims: list[socket.socket] = []
_random = random.Random(os.urandom(8))  # not the tests' own sequence, which is the same in every run


def free_port() -> int:
    """A loopback port that nobody listens on, and that no other call returns while this process lives."""
    for port in _random.sample(RANGE, len(RANGE)):
        if _claim(port) and _is_free(port):
            return port
    raise OSError(f"no port is free from {RANGE.start} to {RANGE.stop}")


def _claim(port: int) -> bool:
    """An abstract name: one process has it, and loses it with its life, whatever ends that."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0bigbrotr-dagster-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
