"""Locks that nobody waits for long: asked for briefly, and again."""

import time
from collections.abc import Callable, Iterator

import psycopg

from bigbrotr_dagster.storage.databases.adoption.walks import Progress
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

WAIT = 300
"""Milliseconds that a lock is waited for: whoever comes after us waits as long."""

VACUUM = 10_000
"""Milliseconds that autovacuum has to give way: it does once somebody has waited for a second. Nobody waits for us
meanwhile."""

LONGEST = 1_500
"""Milliseconds that a statement under the lock may take."""

PAUSE = 1.0
"""Seconds between two tries."""

_BUSY = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def shortly(
    connection: BlockingConnection, step: str, lock: str, work: Callable[[], object]
) -> Iterator[Progress]:
    """Do `work` in one transaction under the locks of the query `lock`; says who is in the way meanwhile.

    The last `Progress` tells for how long the locks were asked for and held. A statement of the work may take
    `LONGEST`; where a slow machine needs more, it has twice as long at each further try.

    Raises:
        psycopg.Error: the work failed; nothing of it is done.
    """
    longest = LONGEST
    while True:
        is_locked = False
        try:
            with connection.transaction():
                _end_after(connection, VACUUM)
                connection.execute(query("keep_vacuum_away"))
                _end_after(connection, WAIT)
                began = time.monotonic()
                connection.execute(query(lock))
                is_locked = True
                _end_after(connection, longest)
                connection.execute(query("end_waiting_after"), {"milliseconds": str(WAIT)})
                work()
                held = time.monotonic() - began  # what was dropped is removed from the disk without the locks
        except _BUSY as error:
            if is_locked and isinstance(error, psycopg.errors.QueryCanceled):
                longest *= 2
            yield Progress(step, _who_is_in_the_way(connection))
            time.sleep(PAUSE)
        else:
            yield Progress(step, held=held)
            return


def _end_after(connection: BlockingConnection, milliseconds: int) -> None:
    connection.execute(query("end_statements_after"), {"milliseconds": str(milliseconds)})


def _who_is_in_the_way(connection: BlockingConnection) -> str:
    holder = connection.execute(query("who_is_in_the_way")).fetchone()
    if holder is None:
        return "waiting for somebody"
    return f"waiting for session {holder[0]}, whose transaction has taken {holder[1]:,.0f} s"
