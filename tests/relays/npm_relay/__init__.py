"""@nostr-relay from npm, a relay library that nobody here wrote, with all its defaults and SQLite.

Its validator takes at most 20 kinds in a filter, and answers more with NOTICE "invalid: …" and nothing else. An
answer holds at most 1,000 events, 100 where no limit is asked for; events of one second come in any order.

SQLite comes by libsql, which has the interface of better-sqlite3: that one would have to be compiled, or be
downloaded from elsewhere than the registry. Node 18 (Debian 12's) and later run it. Its lock names no registry:
`npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts` makes it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.debian import cannot_be_had, program
from tests.ports import free_port
from tests.relays.process import RelayProcess

SOURCE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "relay.js")


def install() -> Path:
    """The folder of the relay and all that it imports; made once per machine and lock.

    Skips where it cannot be had (in CI: fails).
    """
    contents = b"".join((SOURCE / name).read_bytes() for name in FILES)
    digest = hashlib.sha256(contents).hexdigest()[:16]
    done = Path(tempfile.gettempdir()) / f"npm-relay-{os.getuid()}-{digest}"
    if not done.exists():
        _install_into(done)
    if done.stat().st_uid != os.getuid():
        raise PermissionError(f"{done} belongs to somebody else")
    return done


def _install_into(done: Path) -> None:
    """Install beside the folder, and rename: others may do the same now, and a killed one leaves no half of it."""
    npm = program("npm", "npm")
    folder = Path(tempfile.mkdtemp(prefix=f"{done.name}-", dir=done.parent))
    try:
        for name in FILES:
            shutil.copy(SOURCE / name, folder)
        result = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            cannot_be_had(f"@nostr-relay cannot be installed: {(result.stdout + result.stderr).strip()[-500:]}")
        try:
            folder.rename(done)
        except OSError:  # another process was faster
            if not done.exists():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class NpmRelay(RelayProcess):
    """The relay in `installed`, for the time of a `with` block; its events are in `folder`."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._installed = installed
        self._database = folder / "events.sqlite3"
        self._log = folder / "log"

    def spawn(self) -> "subprocess.Popen[bytes]":
        command = [program("node", "nodejs"), "relay.js", str(self.port), str(self._database)]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, cwd=self._installed, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        self.wait_for_a_handshake(self.url, self._log)
