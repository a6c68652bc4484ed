"""Which run is dead: real runs in PID namespaces of their own, as containers have them, and on "other hosts"."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import dead_runs
from bigbrotr_dagster.defs.runs.process_name import ProcessName
from bigbrotr_dagster.defs.runs.run_process import (
    EARLIER_PROCESS_TAG,
    LEAST_LOOKS,
    PROCESS_TAG,
    Missed,
    end_dead_runs,
    missed_from_cursor,
)
from bigbrotr_dagster.storage.locks import held_runs
from tests.defs.helpers import Graph, Relays, dead_url, some_events
from tests.defs.test_automation import in_flight, keys, schedule_tick
from tests.defs.test_interrupted import write_run_config
from tests.e2e.graphql import eventually
from tests.relays.scripted import ScriptedRelay
from tests.storage.test_run_lock import cut
from tests.sync.helpers import stored_ids, tell

pytestmark = pytest.mark.slow

PATIENCE = 20.0
"""Seconds that these tests let a run be without a sign of life: more than it needs to take its lock again."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""A PID namespace with the host's name, as `docker run --network host` gives one."""

OTHER_HOST = [
    *(*CONTAINER, "--uts", "sh", "-c"),
    'hostname elsewhere && mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
]
"""The same with a name and a boot of its own; the first argument is a file with the boot's id."""


@pytest.fixture(autouse=True)
def no_runs(graph: Graph) -> None:
    graph.register()
    for run in graph.instance.get_runs():
        graph.instance.delete_run(run.run_id)


@pytest.fixture
def slow(relays: Relays, graph: Graph, tmp_path: Path) -> Iterator[ScriptedRelay]:
    """A relay that keeps a run busy for minutes, or until its delay is taken away."""
    relay = relays.serve(some_events(600, str(tmp_path)), cap=6, delay=1.0)
    graph.register(relay.url)
    yield relay
    relay.delay = 0


class Worker:
    """A run in a process of its own, behind `prefix`."""

    def __init__(self, graph: Graph, relay: ScriptedRelay, folder: Path, prefix: list[str]) -> None:
        config = write_run_config([relay.url], folder)
        command = ["job", "execute", "-m", "bigbrotr_dagster.definitions", "-j", "relay_sync", "-c", str(config)]
        with (folder / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dagster", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._graph = graph
        try:
            eventually(lambda: len(relay.requests) >= 4, 120)
        except BaseException:
            self.kill()
            raise
        [self.run_id] = [run.run_id for run in graph.instance.get_runs(limit=1)]

    def status(self) -> dg.DagsterRunStatus:
        run = self._graph.instance.get_run_by_id(self.run_id)
        assert run is not None
        return run.status

    def is_held(self) -> bool:
        return held_runs(self._graph.database, [self.run_id]) == {self.run_id}

    def name(self) -> ProcessName:
        run = self._graph.instance.get_run_by_id(self.run_id)
        assert run is not None
        name = ProcessName.parse(run.tags[PROCESS_TAG])
        assert name is not None
        return name

    def kill(self) -> None:
        """SIGKILL, for the whole namespace."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def worker_on_another_host(graph: Graph, relay: ScriptedRelay, folder: Path) -> Worker:
    boot = folder / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    return Worker(graph, relay, folder, [*OTHER_HOST, str(boot)])


def looks(graph: Graph, seconds: float, missed: dict[str, Missed] | None = None) -> list[str]:
    """Look twice a second, as long as is told or until a run is ended."""
    missed = {} if missed is None else missed
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ended := end_dead_runs(graph.instance, graph.database, PATIENCE, missed):
            return ended
        time.sleep(0.5)
    return []


def sensor_tick(graph: Graph, cursor: str | None) -> Any:
    with dg.build_sensor_context(
        instance=graph.instance, resources=graph.resources, definitions=defs, cursor=cursor
    ) as context:
        return dead_runs.evaluate_tick(context)


@needs_root
def test_a_living_run_in_another_container_with_our_host_name_is_never_ended(
    graph: Graph, slow: ScriptedRelay, tmp_path: Path, stack: ExitStack
) -> None:
    worker = Worker(graph, slow, tmp_path, CONTAINER)
    stack.callback(worker.kill)
    name, here = worker.name(), ProcessName.own()
    assert here is not None
    assert (name.host, name.boot) == (here.host, here.boot)
    assert name.namespace != here.namespace
    assert name.pid < 10, "here such a pid is another process's, or nobody's"
    assert name.is_alive() is None
    assert looks(graph, 10) == []
    cut(graph.database, worker.run_id)  # as when PostgreSQL restarts
    assert not worker.is_held()
    assert looks(graph, 15) == []
    assert worker.is_held()
    slow.delay = 0
    worker.process.wait(60)
    assert worker.status() is dg.DagsterRunStatus.SUCCESS
    assert stored_ids(graph.database, slow.url) == {event.id for event in slow.events}


@needs_root
def test_relays_of_a_worker_that_was_killed_on_another_host_are_due_again_in_bounded_time(
    graph: Graph, slow: ScriptedRelay, tmp_path: Path, stack: ExitStack, config_file: Path
) -> None:
    worker = worker_on_another_host(graph, slow, tmp_path)
    stack.callback(worker.kill)
    assert worker.name().host == "elsewhere"
    config_file.write_text(f"{config_file.read_text()}dead_run_seconds: {PATIENCE}\n")
    tell(graph.database, "UPDATE relay_limits SET attempted_at = now() - interval '1 hour'")
    assert schedule_tick(graph) == [], "it is being synced"
    worker.kill()
    killed = time.monotonic()
    cursor, ticks = None, 0
    while worker.status() is dg.DagsterRunStatus.STARTED:
        assert time.monotonic() - killed < PATIENCE + 60
        tick = sensor_tick(graph, cursor)
        cursor, ticks = tick.cursor, ticks + 1
        time.sleep(1)
    assert time.monotonic() - killed >= PATIENCE
    assert ticks > LEAST_LOOKS
    assert worker.status() is dg.DagsterRunStatus.FAILURE
    assert f"run {worker.run_id}: The run held no lock and left no event for" in str(tick.skip_message)
    assert "elsewhere" in str(tick.skip_message)
    assert keys(schedule_tick(graph)) == [[slow.url]]
    assert missed_from_cursor(sensor_tick(graph, cursor).cursor) == {}


@needs_root
def test_a_run_that_comes_back_after_it_was_given_up_stops(
    graph: Graph, slow: ScriptedRelay, tmp_path: Path, stack: ExitStack
) -> None:
    """Else it would go on beside the run that was started in its place, and end as a SUCCESS after a FAILURE."""
    worker = worker_on_another_host(graph, slow, tmp_path)
    stack.callback(worker.kill)
    [inside] = descendants(worker.process.pid)[-1:]
    os.kill(inside, signal.SIGSTOP)  # as a host that is frozen, or cut off from the network
    cut(graph.database, worker.run_id)
    [line] = looks(graph, PATIENCE + 30)
    assert worker.run_id in line
    os.kill(inside, signal.SIGCONT)
    worker.process.wait(90)
    assert worker.status() is dg.DagsterRunStatus.FAILURE
    assert len(stored_ids(graph.database, slow.url)) < 600


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_a_run_whose_process_is_seen_to_be_gone_is_ended_at_once(
    graph: Graph, slow: ScriptedRelay, tmp_path: Path, stack: ExitStack
) -> None:
    worker = Worker(graph, slow, tmp_path, [])
    stack.callback(worker.kill)
    assert worker.name().is_alive()
    assert looks(graph, 3) == []
    cut(graph.database, worker.run_id)
    assert looks(graph, 1) == [], "it lives, and is about to take its lock again"
    worker.process.kill()
    eventually(lambda: not worker.is_held(), 30)
    eventually(lambda: psutil.Process(worker.process.pid).status() == psutil.STATUS_ZOMBIE, 30)
    assert worker.name().is_alive() is False, "a zombie is as dead as one that was waited for"
    [line] = end_dead_runs(graph.instance, graph.database, PATIENCE, {})
    assert line == f"run {worker.run_id}: The run's process is gone: {worker.name()}."
    worker.kill()


def started(graph: Graph, name: object = None) -> dg.DagsterRun:
    tags = {} if name is None else {PROCESS_TAG: str(name)}
    return in_flight(graph, dg.DagsterRunStatus.STARTED, tags={"dagster/partition": dead_url()} | tags)


def test_a_run_of_an_earlier_version_is_known_by_its_earlier_tag(graph: Graph) -> None:
    gone = replace(own_name(), pid=2**22 + 1)
    tags = {EARLIER_PROCESS_TAG: str(gone)}
    run = in_flight(graph, dg.DagsterRunStatus.STARTED, tags=tags)
    [line] = end_dead_runs(graph.instance, graph.database, PATIENCE, {})
    assert line == f"run {run.run_id}: The run's process is gone: {gone}."


def own_name() -> ProcessName:
    name = ProcessName.own()
    assert name is not None
    return name


def test_a_run_that_ended_unsaid_while_its_process_goes_on_is_ended(graph: Graph) -> None:
    """`sync` and workers of Celery live longer than a run; whatever kept a run from writing its end is over."""
    unsaid = started(graph, own_name())
    assert looks(graph, PATIENCE / 4) == [], "its process lives"
    latest = started(graph, own_name())
    [line] = looks(graph, PATIENCE + 30)
    assert unsaid.run_id in line
    assert end_dead_runs(graph.instance, graph.database, 0, {latest.run_id: Missed(0, 9, 0)}) == []


@pytest.mark.parametrize("name", [None, "elsewhere 1 1.00", "elsewhere 7 77 another-boot 4026531836"])
def test_without_a_process_to_be_seen_seconds_and_looks_have_to_pass(graph: Graph, name: str | None) -> None:
    run, missed = started(graph, name), dict[str, Missed]()
    for _ in range(LEAST_LOOKS - 1):
        assert end_dead_runs(graph.instance, graph.database, 0, missed) == []
    newest = missed[run.run_id]
    before = {run.run_id: Missed(newest.since - 3600, 1, newest.event)}
    assert end_dead_runs(graph.instance, graph.database, PATIENCE, before) == [], "a clock that jumped an hour"
    ahead = {run.run_id: Missed(newest.since + 3600, 1, newest.event)}
    end_dead_runs(graph.instance, graph.database, PATIENCE, ahead)
    assert ahead[run.run_id].since <= time.time(), "or back"
    assert end_dead_runs(graph.instance, graph.database, PATIENCE, dict(missed)) == []
    graph.instance.report_engine_event("it does something", run)
    assert end_dead_runs(graph.instance, graph.database, 0, missed) == [], "what leaves an event lives"
    for _ in range(LEAST_LOOKS - 2):
        assert end_dead_runs(graph.instance, graph.database, 0, missed) == []
    [line] = end_dead_runs(graph.instance, graph.database, 0, missed)
    assert run.run_id in line
    assert missed == {}


def test_a_run_of_another_code_location_is_not_ours_to_end(graph: Graph) -> None:
    run = graph.instance.create_run_for_job(somebody_elses, status=dg.DagsterRunStatus.STARTED)
    missed: dict[str, Missed] = {}
    for _ in range(LEAST_LOOKS + 1):
        assert end_dead_runs(graph.instance, graph.database, 0, missed) == []
    assert missed == {}
    graph.instance.delete_run(run.run_id)


@dg.job
def somebody_elses() -> None:
    """Of a code location that shares our instance."""


def test_every_run_of_ours_holds_its_lock_while_it_lasts(graph: Graph) -> None:
    """Also one that syncs nothing: killed, it would hold its place in the queue."""
    run = defs.resolve_job_def("cleanup").execute_in_process(instance=graph.instance)
    record = graph.instance.get_run_by_id(run.run_id)
    assert record is not None
    assert ProcessName.parse(record.tags[PROCESS_TAG]) == own_name()
    assert held_runs(graph.database, [run.run_id]) == set()


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "[]", '{"run": 5}', '{"run": {"since": 1}}'])
def test_a_cursor_of_another_release_is_no_cursor(cursor: str | None) -> None:
    assert missed_from_cursor(cursor) == {}


def test_a_process_is_named_so_that_no_other_has_its_name() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    here = own_name()
    name = ProcessName(here.host, child.pid, int(fields[19]), here.boot, here.namespace)
    assert ProcessName.parse(str(name)) == name
    assert name.is_alive()
    later = ProcessName(name.host, name.pid, name.start + 1, name.boot, name.namespace)
    assert later.is_alive() is False, "another process has the pid now"
    child.kill()
    eventually(lambda: name.is_alive() is False, 10)  # a zombie
    child.wait()
    assert name.is_alive() is False
    for elsewhere in (
        ProcessName(name.host, name.pid, name.start, "another", name.namespace),
        ProcessName(name.host, name.pid, name.start, name.boot, "pid:[1]"),
    ):
        assert elsewhere.is_alive() is None


@needs_root
def test_where_proc_is_another_namespaces_nothing_is_seen() -> None:
    """`unshare --pid` without `--mount-proc`: the pids in /proc are not those of this namespace."""
    script = (
        "from bigbrotr_dagster.defs.runs.process_name import ProcessName\n"
        "name = ProcessName.own()\n"
        "print(name.pid, name.is_alive())\n"
    )
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1 None\n"
