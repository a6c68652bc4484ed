"""What `bigbrotr-dagster dev` starts, and how it stops all of it."""

import http.client
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, seed_relays
from bigbrotr_dagster.cli.dev.diary import Diary
from bigbrotr_dagster.cli.dev.guardian import AlreadyRunning, guarded, only_dev, stop_left_over
from bigbrotr_dagster.cli.dev.processes import MARK, interrupt_runs, stop_all
from bigbrotr_dagster.cli.dev.services import Services
from bigbrotr_dagster.cli.logs import complain
from bigbrotr_dagster.config.variables import ALLOW_PRIVATE_VARIABLE, DISCOVERY_VARIABLE
from bigbrotr_dagster.defs.instance import prepare_home
from bigbrotr_dagster.demo import PortInUse, serve_in_background
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.address import data_dir, database_url
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.private_files import private_umask

HOST = "127.0.0.1"


class DevServerError(CannotGoOn):
    """The development server cannot start; the message is one line."""


def run_dev(
    port: int, config_path: Path | None, demo: bool, allow_private: bool, names: Collection[str] = ()
) -> int:
    """Run PostgreSQL, Dagster's UI and daemon until a signal; returns the exit code.

    `names`: host names that the UI is reached by, beside the loopback ones.

    Raises:
        DevServerError: a port is in use, or another `dev` works in the data folder.
        DatabaseUnavailable: PostgreSQL cannot be started or reached.
        ConfigError: the configuration cannot be used.
    """
    with _stop_signals() as stopped, private_umask():
        if not data_dir().exists():
            _check_port(port)  # nothing is made for a command that cannot start
        with ExitStack() as stack:
            _become_only_dev(stack)
            _check_port(port)
            practice = stack.enter_context(_practice(demo))
            url = database_url()
            ensure_database(url)
            public = [relay for relay in registered_relays(url) if relay.network != "local"]
            register_relays(url, practice if demo else [] if public else seed_relays())
            environment = _environment(config_path, allow_private or demo)
            if demo or _follows_public_network(url):
                environment[DISCOVERY_VARIABLE] = "1"  # where the configuration does not say
            return _serve(port, names, environment, Diary(url, stopped), stopped)


def _become_only_dev(stack: ExitStack) -> None:
    """Be the only `dev` on the data folder, with nothing left of an earlier one."""
    try:
        stack.enter_context(only_dev(data_dir()))
    except AlreadyRunning as error:
        raise DevServerError(str(error)) from error
    except OSError as error:
        raise DevServerError(f"{data_dir()}: {error.strerror or error}") from error
    if count := stop_left_over(data_dir()):
        complain(f"{count} processes were left by a `dev` that was killed; they are stopped", "left_over_stopped")


def _follows_public_network(url: str) -> bool:
    """Whether the archive began with the relays that ship with us, and not with some that a person chose."""
    return not {relay.url for relay in registered_relays(url)}.isdisjoint(seed_relays())


def _environment(config_path: Path | None, allow_private: bool) -> dict[str, str]:
    """What the children are told: where everything is, and the configuration as the command line changed it."""
    environment = dict(os.environ)
    environment["DAGSTER_HOME"] = str(prepare_home())
    environment["BIGBROTR_DATA_DIR"] = str(data_dir())
    (data_dir() / "dev.yaml").unlink(missing_ok=True)  # earlier versions kept the whole configuration there
    environment["PYTHONUNBUFFERED"] = "1"
    environment[MARK] = secrets.token_hex(8)
    if config_path is not None:
        environment["BIGBROTR_CONFIG"] = str(config_path.resolve())
    if allow_private:
        environment[ALLOW_PRIVATE_VARIABLE] = "1"
    return environment


def _serve(
    port: int, names: Collection[str], environment: dict[str, str], diary: Diary, stopped: threading.Event
) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="bigbrotr-dev-") as folder,
        guarded(data_dir(), Path(folder), environment),
    ):
        services = Services(environment, Path(folder), HOST, port, names)
        announced = False
        try:
            print("Starting Dagster ...", flush=True)
            services.start(stopped)
            while (problem := services.ended()) is None and not stopped.wait(0.3):
                if not announced and _answers(port):
                    print(f"Serving on http://{HOST}:{port} - Ctrl-C stops everything", flush=True)
                    announced = True
                    diary.open()
            if problem is not None:
                raise DevServerError(problem)
            return 0
        finally:
            print("Stopping ...", flush=True)
            services.hush(runs=not announced)
            told = interrupt_runs(environment[MARK])
            services.hush(runs=True)
            stop_all(environment[MARK], told)
            services.wait()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, from the first moment on."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _practice(demo: bool) -> Iterator[tuple[str, ...]]:
    try:
        with serve_in_background() if demo else nullcontext(()) as urls:
            yield urls
    except PortInUse as error:
        raise DevServerError(str(error)) from error


def _check_port(port: int) -> None:
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError as error:
        raise DevServerError(f"port {port} is in use; --port takes another one") from error


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
