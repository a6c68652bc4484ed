"""What `bigbrotr-dagster dev` starts, and how it stops all of it.

`dagster dev` starts a web server, a daemon and a code server, and the code server starts runs; some of them
outlive their parents. Every process that comes from here carries a mark in its environment, so that stopping
finds them all: runs are interrupted first and store what they have received, then Dagster is asked to stop,
and what is left after that is killed.
"""

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import psutil
import yaml

from bigbrotr_dagster.demo import PortInUse
from bigbrotr_dagster.demo.background import serve_in_background
from bigbrotr_dagster.storage.pool import data_dir, database_url, ensure_database
from bigbrotr_dagster.sync import load_config, register_relays, registered_relays, seed_relays

HOST = "127.0.0.1"
MARK = "BIGBROTR_DEV"
"""Environment variable that all processes of one `dev` share."""

RUN_SECONDS = 10.0
"""Seconds that runs have to store what they received."""

DAGSTER_SECONDS = 10.0
"""Seconds that Dagster's own processes have to stop."""


class DevServerError(Exception):
    """The development server cannot start; the message is one line."""


def run_dev(port: int, config_path: Path | None, demo: bool, allow_private: bool) -> int:
    """Run PostgreSQL, Dagster's UI and daemon until a signal; returns the exit code.

    Raises:
        DevServerError: a port is in use.
        DatabaseUnavailable: PostgreSQL cannot be started or reached.
        ConfigError: the configuration cannot be used.
    """
    with _stop_signals() as stopped:
        _check_port(port)
        with _practice(demo) as practice:
            url = database_url()
            ensure_database(url)
            public = [relay for relay in registered_relays(url) if relay.network != "local"]
            register_relays(url, practice if demo else [] if public else seed_relays())
            environment = _environment(config_path, allow_private or demo)
            return _serve(port, environment, stopped)


def prepare_home() -> Path:
    """The folder that Dagster reads dagster.yaml from: DAGSTER_HOME, else one of ours with our dagster.yaml.

    Raises:
        DevServerError: DAGSTER_HOME is none that Dagster would take.
    """
    given = os.environ.get("DAGSTER_HOME")
    if given:
        return _given_home(given)
    home = data_dir() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).resolve().parent
    ours = package / "dagster.yaml"  # in an installed package; in a clone it stands beside the package
    shutil.copyfile(ours if ours.exists() else package.parent / "dagster.yaml", home / "dagster.yaml")
    return home


def _given_home(given: str) -> Path:
    home = Path(given)
    if not home.is_absolute():
        raise DevServerError(f"DAGSTER_HOME has to be an absolute path, and is {given!r}")
    if not home.is_dir():
        raise DevServerError(f"DAGSTER_HOME names {given!r}, which is no folder: make it, or unset the variable")
    return home


def _environment(config_path: Path | None, allow_private: bool) -> dict[str, str]:
    """What the children are told: where everything is, and the configuration as the command line changed it."""
    environment = dict(os.environ)
    environment["DAGSTER_HOME"] = str(prepare_home())
    environment["BIGBROTR_DATA_DIR"] = str(data_dir())
    environment["PYTHONUNBUFFERED"] = "1"
    # `dg dev` is for folders that are dg projects; this one also has to run from an installed package.
    environment["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
    environment[MARK] = secrets.token_hex(8)
    if config_path is not None:
        environment["BIGBROTR_CONFIG"] = str(config_path.resolve())
    if allow_private:
        effective = data_dir() / "dev.yaml"
        options = load_config(config_path).with_overrides(allow_private=True).model_dump(mode="json")
        effective.write_text(yaml.safe_dump(options), encoding="utf-8")
        environment["BIGBROTR_CONFIG"] = str(effective)
    return environment


def _serve(port: int, environment: dict[str, str], stopped: threading.Event) -> int:
    command = [sys.executable, "-m", "dagster", "dev", "-m", "bigbrotr_dagster.definitions", "-h", HOST]
    quiet = ["--log-level", "warning", "--code-server-log-level", "warning"]
    dagster = subprocess.Popen(
        [*command, "-p", str(port), *quiet],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C comes here alone, and is passed on in order
    )
    given_up = threading.Event()
    threading.Thread(target=_pass_on, args=(dagster, given_up), name="output", daemon=True).start()
    announced = False
    try:
        print("Starting Dagster ...", flush=True)
        while dagster.poll() is None and not stopped.wait(0.3):
            if not announced and _answers(port):
                print(f"Serving on http://{HOST}:{port} - Ctrl-C stops everything", flush=True)
                announced = True
        return 0 if stopped.is_set() else dagster.returncode or 1
    finally:
        print("Stopping ...", flush=True)
        if stopped.is_set() and not announced:
            given_up.set()
        _stop(dagster, environment[MARK], given_up)


def _pass_on(dagster: "subprocess.Popen[bytes]", given_up: threading.Event) -> None:
    """Show what Dagster says until it is stopped: then its parts complain about each other's absence."""
    for line in dagster.stdout or ():
        if not given_up.is_set():
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


def _stop(dagster: "subprocess.Popen[bytes]", mark: str, given_up: threading.Event) -> None:
    """Runs first, so that they can still write; then Dagster; then whatever is left."""
    told = _runs(mark)
    _interrupt(told, signal.SIGTERM, RUN_SECONDS)
    given_up.set()
    if dagster.poll() is None:
        dagster.terminate()  # as SIGINT to it; without a traceback while it is still importing
    deadline = time.monotonic() + DAGSTER_SECONDS
    while (left := _marked(mark)) and time.monotonic() < deadline:
        late = [run for run in _runs(mark) if run not in told]  # the daemon started it meanwhile
        told += late
        _interrupt(late, signal.SIGTERM, 0.2)
        time.sleep(0.2)
    _interrupt(left, signal.SIGKILL, DAGSTER_SECONDS)
    dagster.wait()


def _interrupt(processes: Sequence[psutil.Process], number: signal.Signals, seconds: float) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=seconds)


def _marked(mark: str) -> list[psutil.Process]:
    """Every living process that carries the mark, whoever its parent is now; the database's are not ours."""
    found = []
    for process in psutil.process_iter():
        try:
            ended = process.status() == psutil.STATUS_ZOMBIE or process.name() == "postgres"
            if not ended and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _runs(mark: str) -> list[psutil.Process]:
    """The processes that execute runs: children of a code server."""
    runs = []
    for process in _marked(mark):
        try:
            parent = process.parent()
            if "spawn_main" in " ".join(process.cmdline()) and parent and "grpc" in parent.cmdline():
                runs.append(process)
        except psutil.NoSuchProcess:
            continue
    return runs


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
