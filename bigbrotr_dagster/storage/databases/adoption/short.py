"""Locks that nobody waits for long: asked for briefly, and again."""

import itertools
import time
from collections.abc import Callable, Iterator

import psycopg

from bigbrotr_dagster.storage.databases.adoption.walks import Progress
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

WAITS = (300, 300, 300, 1_500)
"""Milliseconds that a lock is waited for, in turns: whoever comes after us waits as long. Autovacuum gives way to
whoever has waited for a second."""

PAUSE = 1.0
"""Seconds between two tries."""


_BUSY = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def shortly(
    connection: BlockingConnection, step: str, lock: str, work: Callable[[], object]
) -> Iterator[Progress]:
    """Do `work` in one transaction under the locks of the query `lock`; says who is in the way meanwhile.

    The last `Progress` tells how long the locks were held. A statement of the work may take as long as the longest
    of `WAITS`; where a slow machine needs more, it has twice as long at each further try.

    Raises:
        psycopg.Error: the work failed; nothing of it is done.
    """
    most = max(WAITS)
    for wait in itertools.cycle(WAITS):
        began = None
        try:
            with connection.transaction():
                connection.execute(query("end_statements_after"), {"milliseconds": str(wait)})
                connection.execute(query("end_waiting_after"), {"milliseconds": str(wait)})
                connection.execute(query(lock))
                began = time.monotonic()
                connection.execute(query("end_statements_after"), {"milliseconds": str(most)})
                work()
        except _BUSY as error:
            if began is not None and isinstance(error, psycopg.errors.QueryCanceled):
                most *= 2
            yield Progress(step, _who_is_in_the_way(connection))
            time.sleep(PAUSE)
        else:
            yield Progress(step, held=time.monotonic() - (began or 0.0))
            return


def _who_is_in_the_way(connection: BlockingConnection) -> str:
    holder = connection.execute(query("who_is_in_the_way")).fetchone()
    if holder is None:
        return "waiting for somebody"
    return f"waiting for session {holder[0]}, whose transaction has taken {holder[1]:,.0f} s"
