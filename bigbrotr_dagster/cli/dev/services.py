"""The three programs of Dagster that `dev` runs: code server, web server, daemon.

`dagster dev` starts the same three, but its web server cannot be given a guard (`web_guard`).
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import yaml

from bigbrotr_dagster.cli.logs import LEVEL_VARIABLE, as_record, is_json

MODULE = "bigbrotr_dagster.definitions"
LOAD_SECONDS = 180.0
"""Seconds that the code server has to load the definitions."""
RESTART_SECONDS = 5.0
"""Seconds between two starts of a code server that ends by itself."""

_CODE_SERVER = "code server"

_OF_NO_CONCERN = (b"No cursor for event type",)
"""What Dagster warns of at each first start, where all is well."""


class Services:
    """The programs while they run. What they say is shown on stderr until `hush`."""

    def __init__(
        self, environment: Mapping[str, str], folder: Path, host: str, port: int, names: Collection[str]
    ) -> None:
        """`folder`: a private one with a short path, for a socket. `names`: other host names of the UI."""
        self._environment = dict(environment)
        self._socket = folder / "code.sock"
        workspace = folder / "workspace.yaml"
        location = {"grpc_server": {"socket": str(self._socket), "location_name": MODULE}}
        workspace.write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")
        level = (environment.get(LEVEL_VARIABLE) or "warning").lower()
        looks = ["--log-format", "json"] if is_json() else []
        allowed = [word for name in names for word in ("--allow-host", name)]
        self._programs = {
            _CODE_SERVER: ["dagster", "code-server", "start", "-m", MODULE, "-s", str(self._socket),
                           "--log-level", level, *looks,
                           "--use-python-environment-entry-point"],
            # `dagster dev` and the script `dagster-daemon` run this module, too.
            "daemon": ["dagster._daemon", "run", "-w", str(workspace), "--log-level", level, *looks],
            "web server": ["bigbrotr_dagster", "webserver", *allowed, "-w", str(workspace), "-h", host,
                           "-p", str(port), "--dagster-log-level", level, *looks],
        }  # fmt: skip
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0.0
        self._hushed: set[str] = set()

    def start(self, stopped: threading.Event) -> None:
        """Start the code server, and the others once it answers: they look for it again only after a minute."""
        self._start(_CODE_SERVER)
        deadline = time.monotonic() + LOAD_SECONDS
        while self.ended() is None and time.monotonic() < deadline and not stopped.wait(0.1):
            if self._loaded():
                break
        for name in self._programs:
            if name not in self._processes and not stopped.is_set():
                self._start(name)

    def ended(self) -> str | None:
        """One line on a program that ended by itself. The code server is started again: its runs may go on."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is None:
                continue
            if name != _CODE_SERVER:
                return f"Dagster's {name} ended (exit status {code})"
            if time.monotonic() - self._started > RESTART_SECONDS:
                self._start(name)
        return None

    def hush(self, *, runs: bool) -> None:
        """Show nothing more of what they say: once they are stopped, they complain about each other's absence.

        `runs`: nor what runs say, which comes through the code server.
        """
        self._hushed |= {name for name in self._programs if runs or name != _CODE_SERVER}

    def wait(self) -> None:
        """Wait for the ends of those that were stopped, and end one that began too late to be seen by its mark."""
        for process in self._processes.values():
            process.kill()  # nothing, where it has ended
            process.wait()

    def _start(self, name: str) -> None:
        if name == _CODE_SERVER:
            self._started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", *self._programs[name]],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C comes to `dev` alone, and is passed on in order
        )
        self._processes[name] = process
        threading.Thread(target=self._pass_on, args=(name, process), name=name, daemon=True).start()

    def _pass_on(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        for line in process.stdout or ():
            if name not in self._hushed and not any(words in line for words in _OF_NO_CONCERN):
                if is_json():
                    line = as_record(line, name.replace(" ", "_")).encode() + b"\n"
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()

    def _loaded(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            return True
