"""Debian's PgBouncer in front of a server."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import program
from tests.ports import free_port


@contextmanager
def pgbouncer(folder: Path, server: Path, mode: str, **options: int | str) -> Iterator[int]:
    """The port of a running PgBouncer for all databases of the server with its socket in `server`."""
    path = program("/usr/sbin/pgbouncer", "pgbouncer")
    port, users, ini = free_port(), folder / "users", folder / f"{mode}.ini"
    users.write_text('"postgres" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": users,
        "pool_mode": mode,
    } | options
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    ini.write_text(f"[databases]\n* = host={server}\n[pgbouncer]\n{lines}\n")
    command = [path, str(ini)]
    if os.geteuid() == 0:  # which it refuses to run as, and whose folders others may not enter
        command = [path, "-u", "postgres", str(ini)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None, "PgBouncer ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("PgBouncer does not listen")
