"""Locks that nobody waits for long: asked for briefly, and again."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from bigbrotr_dagster.storage.databases.adoption.walks import Progress
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

WAITS = (300, 300, 300, 1_500)
"""Milliseconds that a lock is waited for, in turns: whoever comes after us waits as long. Autovacuum gives way to
whoever has waited for a second."""

PAUSE = 1.0
"""Seconds between two tries."""

_T = TypeVar("_T")


@contextmanager
def _locked(connection: BlockingConnection, lock: str, milliseconds: int) -> Iterator[None]:
    with connection.transaction():
        connection.execute(query("end_statements_after"), {"milliseconds": str(milliseconds)})
        connection.execute(query("end_waiting_after"), {"milliseconds": str(milliseconds)})
        connection.execute(query(lock))
        yield


def shortly(connection: BlockingConnection, step: str, lock: str, work: Callable[[], _T]) -> Iterator[Progress]:
    """Do `work` in one transaction under the locks of the query `lock`; says who is in the way while there is one.

    The last `Progress` tells how long the locks were held. No statement of the work may take longer than the
    longest of `WAITS`.

    Raises:
        psycopg.Error: the work failed; nothing of it is done.
    """
    for wait in itertools.cycle(WAITS):
        try:
            with _locked(connection, lock, wait):
                began = time.monotonic()
                connection.execute(query("end_statements_after"), {"milliseconds": str(max(WAITS))})
                work()
            yield Progress(step, held=time.monotonic() - began)
            return
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            holder = connection.execute(query("who_is_in_the_way")).fetchone()
        pid, seconds = holder or (0, 0.0)
        who = f"session {pid}, whose transaction has taken {seconds:,.0f} s" if holder else "somebody"
        yield Progress(step, f"waiting for {who}")
        time.sleep(PAUSE)
