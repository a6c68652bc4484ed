"""nostr-relay from PyPI, a relay that nobody here wrote, in a virtual environment and a process of its own.

Against NIP-01, its `until` is exclusive with sqlite; with lmdb it brings one event of that second, `since` is
exclusive, and `since: 0` brings nothing at all.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.debian import cannot_be_had
from tests.ports import free_port
from tests.relays.process import RelayProcess

PINS = (
    *("nostr-relay==1.14", "aionostr==0.20.0", "coincurve==21.0.0", "python-rapidjson==1.25", "PyYAML==6.0.3"),
    *("falcon==4.4.0", "uvicorn==0.54.0", "h11==0.16.0", "websockets==17.4", "click==8.5.1"),
    *("pydantic==2.14.3", "pydantic_core==2.50.4", "annotated-types==0.8.0", "typing-inspection==0.4.5"),
    *("typing_extensions==4.16.0", "SQLAlchemy==2.1.9", "greenlet==3.5.6", "aiosqlite==0.22.1"),
    *("alembic==1.20.1", "Mako==1.4.3", "MarkupSafe==3.0.4", "lmdb==3.0.0", "msgpack==1.2.4"),
)
"""All that it imports to serve and no more, each as a wheel for Python 3.11 to 3.13."""

CAP = 6_000
"""Events in an answer: the program's default."""


def install(folder: Path) -> Path:
    """The path of `nostr-relay` in a new virtual environment; skips where it cannot be had (in CI: fails)."""
    done = _run(sys.executable, "-m", "venv", str(folder))
    if done.returncode == 0:
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        done = _run(*pip, "--no-deps", "--no-compile", "--only-binary", ":all:", *PINS)
    if done.returncode != 0:
        problem = f"{PINS[0]} cannot be installed: {(done.stdout + done.stderr).strip()[-500:]}"
        cannot_be_had(problem)
    return folder / "bin" / "nostr-relay"


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True)


class PythonRelay(RelayProcess):
    """The relay `program`, for the time of a `with` block; its events are in `folder`, in sqlite or lmdb."""

    def __init__(self, program: Path, folder: Path, storage: str, *, cap: int = CAP) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._command = [str(program), "--config", str(folder / "config.yaml")]
        self._log = folder / "log"
        (folder / "config.yaml").write_text(yaml.safe_dump(_config(folder, self.port, storage, cap)))

    def spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            command = [*self._command, "serve", "--use-uvicorn"]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def held(self) -> set[str]:
        """The ids of all its events, read from its storage and not by a REQ."""
        dump = subprocess.run([*self._command, "dump", "--no-event"], capture_output=True, check=True)
        return {orjson.loads(line)["id"] for line in dump.stdout.splitlines() if line.startswith(b"{")}

    def wait_until_ready(self) -> None:
        self.wait_for_a_handshake(self.url, self._log)


def _config(folder: Path, port: int, storage: str, cap: int) -> dict[str, Any]:
    """Its defaults, but without the validators that refuse what is old or long."""
    stores = {
        "sqlite": {"sqlalchemy.url": f"sqlite+aiosqlite:///{folder / 'events.sqlite3'}"},
        "lmdb": {"class": "nostr_relay.storage.kv.LMDBStorage", "path": str(folder / "events.lmdb")},
    }
    return {
        "storage": stores[storage] | {"validators": ["nostr_relay.validators.is_signed"]},
        "max_limit": cap,
        "gunicorn": {"bind": f"127.0.0.1:{port}"},
        "logging": {"version": 1},  # warnings, on stderr
    }
