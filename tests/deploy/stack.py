"""What deploy/compose.yaml starts, as processes of this machine: its commands, its files, other addresses.

PostgreSQL 15 and Redis are Debian's. Each worker is in PID and UTS namespaces of its own, as a container is; each
process has a DAGSTER_HOME of its own, which it cannot write to. The daemon has to get by without our package: it
would fail on importing it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from tests.debian import cannot_be_had, program
from tests.deploy.compose import DEPLOY, command, environment_of, health_check
from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import environment
from tests.ports import free_port
from tests.postgres15 import BIN, Server, postgres15

VALUES = {
    "POSTGRES_PASSWORD": "super",
    "ARCHIVE_PASSWORD": "owner",
    "SYNC_PASSWORD": "sync",
    "DAGSTER_POSTGRES_PASSWORD": "dagster",
    "WORKER_RUNS": "1",
    "MAX_RUNS": "3",
}
"""What an operator writes into deploy/.env."""

CONTAINER = [
    *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--uts"),
    *("sh", "-c", 'hostname "$0" && exec "$@"'),
]
"""The first argument is the container's host name."""

WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]
"""What follows ends when this process does, however that is."""

READ_ONLY = [
    *("unshare", "--mount", "sh", "-c"),
    'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
]
"""The first argument is a folder that nothing can be written to, as the image is to its containers."""

BROKEN = 'raise ImportError("Dagster\'s own programs have to work without bigbrotr_dagster")\n'


def containers_can_be_had() -> None:
    """Skip where namespaces cannot be made; in CI, fail."""
    tried = subprocess.run([*CONTAINER, "tried", "true"], capture_output=True, text=True)
    if tried.returncode:
        cannot_be_had(f"no namespaces of our own: {tried.stderr.strip()}")


class Stack:
    """Servers and processes by the names of their services; workers by their host names."""

    def __init__(self, folder: Path, options: str) -> None:
        """`options`: the archive's synchronizer.yaml."""
        self.folder = folder
        self.postgres_port, self.redis_port, self.code_port = free_port(), free_port(), free_port()
        self.ui = Ui(free_port())
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._names = (f"worker-{number}" for number in count(1))
        (folder / "synchronizer.yaml").write_text(options)

    @property
    def owner_url(self) -> str:
        """The archive, as who may do everything there."""
        return f"postgresql://bigbrotr:owner@127.0.0.1:{self.postgres_port}/bigbrotr"

    @property
    def dagster_url(self) -> str:
        """Dagster's database, as its daemon has it."""
        given = self.variables("daemon")
        user, password, name = (given[f"DAGSTER_POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
        return f"postgresql://{user}:{password}@127.0.0.1:{self.postgres_port}/{name}"

    def variables(self, service: str) -> dict[str, str]:
        """The service's environment, at this machine's addresses."""
        given = environment_of(service, VALUES)
        redis = f"redis://127.0.0.1:{self.redis_port}"
        addresses = {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.postgres_port),
            "CELERY_BROKER_URL": f"{redis}/0",
            "CELERY_RESULT_BACKEND": f"{redis}/1",
            "CODE_HOST": "127.0.0.1",
            "CODE_PORT": str(self.code_port),
            "BIGBROTR_CONFIG": str(self.folder / "synchronizer.yaml"),
            "DAGSTER_GRPC_HOST": "127.0.0.1",
            "DAGSTER_GRPC_PORT": str(self.code_port),
            "DAGSTER_WEBSERVER_HOST": "127.0.0.1",
            "DAGSTER_WEBSERVER_PORT": str(self.ui.port),
        }
        here = {name: addresses.get(name, text) for name, text in given.items()}
        if "BIGBROTR_DATABASE_URL" in here:
            at = f"@127.0.0.1:{self.postgres_port}/"
            here["BIGBROTR_DATABASE_URL"] = here["BIGBROTR_DATABASE_URL"].replace("@postgres:5432/", at)
        return here

    def environment(self, service: str, home: str) -> dict[str, str]:
        """All that a process of the service has in its environment: the image's variables, too."""
        folder = self.folder / home
        folder.mkdir(exist_ok=True)
        shutil.copy(DEPLOY / "dagster.yaml", folder)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return environment(
            folder, PATH=path, PYTHONPATH=str(DEPLOY), DAGSTER_HOME=str(folder), **self.variables(service)
        )

    def run(self, service: str, *words: str) -> None:
        """What the service does, or other `words` in its environment, to the end."""
        ran = subprocess.run(
            words or command(service),
            env=self.environment(service, service),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def begin(self) -> list[str]:
        """See that daemon, web server and two workers run; returns the workers' names."""
        if "daemon" not in self.processes:
            self._start("daemon", "daemon", PYTHONPATH=f"{self._broken_package()}:{DEPLOY}")
            self._start("webserver", "webserver")
        while len(self.workers) < 2:
            self.start_worker()
        eventually(self.ui.answers, 60)
        return self.workers

    @property
    def workers(self) -> list[str]:
        """The host names of those that run."""
        return [name for name in self.processes if name.startswith("worker-")]

    def start_worker(self) -> str:
        """Start one more; returns its host name, which no other ever has."""
        name = next(self._names)
        self._start("worker", name)
        return name

    def start_code(self) -> None:
        """Start the code location, and wait until it has loaded."""
        self._start("code", "code")
        eventually(lambda: listens(self.code_port), 120, every=0.1)

    def _start(self, service: str, name: str, **changes: str) -> None:
        """Start the service's process as `name`, with `changes` to its environment."""
        given = self.environment(service, name) | changes
        container = [*CONTAINER, name] if service == "worker" else []
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*WITH_US, *READ_ONLY, given["DAGSTER_HOME"], *container, *command(service)],
                env=given,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _broken_package(self) -> Path:
        """A folder with our package, which fails on import."""
        package = self.folder / "broken" / "bigbrotr_dagster"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(BROKEN)
        return package.parent

    def is_well(self, service: str, name: str = "") -> bool:
        """What the service's health check says; `name` is a worker's."""
        container = [*CONTAINER, name] if name else []
        check = health_check(service, {"4000": self.code_port, "3000": self.ui.port})
        checked = subprocess.run(
            [*container, *check],
            env=self.environment(service, name or service),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        return checked.returncode == 0

    def kill(self, name: str) -> None:
        """SIGKILL; a worker's whole container ends with it."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        """Ask all to stop, but workers, which would wait for their runs; kill what has not within some seconds."""
        for name, process in self.processes.items():
            process.send_signal(signal.SIGKILL if name in self.workers else signal.SIGTERM)
        deadline = time.monotonic() + 5
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def start_redis(self) -> None:
        """Start Redis, with what an earlier one has left."""
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        path = program("/usr/bin/redis-server", "redis-server")
        here = ["--bind", "127.0.0.1", "--port", str(self.redis_port), "--dir", str(folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self.processes["redis"] = subprocess.Popen(
                [*WITH_US, path, *command("redis")[1:], *here],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(lambda: listens(self.redis_port), 20, every=0.05)

    def restart_redis(self) -> None:
        """As an operator does it."""
        process = self.processes.pop("redis")
        process.terminate()
        process.wait(30)
        self.start_redis()

    def logs(self) -> str:
        """The ends of what all processes said."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))


def listens(port: int) -> bool:
    """Whether somebody does, on loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def running_stack(folder: Path, options: str) -> Iterator[tuple[Stack, Server]]:
    """Servers, migration and code location; the others are to be started. In the end no process is left."""
    containers_can_be_had()
    stack = Stack(folder, options)
    with ExitStack() as ending:
        port = f"-p {stack.postgres_port}"
        server = ending.enter_context(postgres15(folder, options=port, listen="127.0.0.1"))
        ending.callback(stack.end)
        stack.start_redis()
        make_roles(server, stack.postgres_port)
        stack.run("migrate")
        stack.start_code()
        yield stack, server


def make_roles(server: Server, port: int) -> None:
    """What PostgreSQL's container does when it starts for the first time."""
    subprocess.run(
        [f"{BIN}/psql", f"{server.url}&port={port}", "-q", "-f", str(DEPLOY / "roles.sql")],
        check=True,
        env=os.environ | VALUES,
        capture_output=True,
    )
