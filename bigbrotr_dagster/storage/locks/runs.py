"""Which runs live: each holds a PostgreSQL advisory lock for as long as it does, wherever its process is.

The server frees the lock when the session ends, so whoever can ask the server can ask for any run, and needs to
see no process: a run may be in another container or on another machine. The lock is shared, because a run may have
several processes. The session has to be asked for now and then, for a server that restarts forgets all locks; a
thread does so, because a run is busy with other things: with Python, with long queries, with waiting.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from bigbrotr_dagster.storage.address import SESSION_NAME
from bigbrotr_dagster.storage.locks.keeper import lock_key
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

BEAT = 5.0
"""Seconds between two looks at the session, and between two tries to get another one."""

log = logging.getLogger(__name__)


@contextmanager
def run_lock(url: str, run_id: str, on_return: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a run; a server that cannot be reached is tried again, meanwhile the run goes on.

    `on_return` is called, in the thread that holds the lock, when it was lost for a while: others may have taken
    the run for dead.
    """
    holder = _Holder(url, run_id, on_return)
    holder.start()
    try:
        yield
    finally:
        holder.stop()


def held_runs(url: str, run_ids: Iterable[str]) -> set[str]:
    """Those of the runs whose lock somebody holds.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    keys = {run_key(run_id): run_id for run_id in run_ids}
    with connect(url) as connection:
        held = {key for (key,) in connection.execute(query("held_locks"), {"keys": list(keys)})}
    return {run_id for key, run_id in keys.items() if key in held}


def run_key(run_id: str) -> int:
    """The key of a run's advisory lock."""
    return lock_key("run", run_id)


class _Holder:
    """The thread and its session."""

    def __init__(self, url: str, run_id: str, on_return: Callable[[], None]) -> None:
        self._url = url
        self._key = run_key(run_id)
        self._on_return = on_return
        self._tried = threading.Event()
        self._stopped = threading.Event()
        self._is_told = True  # of its return; there is nothing to tell at first
        self._thread = threading.Thread(target=self._hold, name="run lock", daemon=True)

    def start(self) -> None:
        """Begin; the first try is waited for, so that the run holds its lock before it does anything."""
        self._thread.start()
        self._tried.wait()

    def stop(self) -> None:
        """Free the lock; where the server does not answer just now, the end of this process will."""
        self._stopped.set()
        self._thread.join(BEAT)

    def _hold(self) -> None:
        while not self._stopped.is_set():
            try:
                with connect(self._url, application_name=f"{SESSION_NAME} run") as connection:
                    connection.execute(query("share_lock"), {"key": self._key})
                    self._tried.set()
                    self._keep(connection)
            except DatabaseUnavailable as error:  # away, restarting, out of connections
                if self._is_told:
                    log.warning("this run holds no lock: %s", error)
                self._is_told = False
                self._tried.set()
                self._stopped.wait(BEAT)

    def _keep(self, connection: BlockingConnection) -> None:
        while not self._is_told or not self._stopped.wait(BEAT):
            connection.execute(query("beat"))
            if not self._is_told:
                self._is_told = self._tell() or self._stopped.wait(BEAT)

    def _tell(self) -> bool:
        try:
            log.warning("this run holds its lock again")
            self._on_return()
        except Exception:  # not ours; the lock matters more than who is told of it
            log.warning("the return of a run's lock is told again", exc_info=True)
            return False
        return True
