"""Poolers between here and the server: which of them can be used.

A pooler in session mode gives a client a backend of its own, as the server does. In transaction or statement
mode it gives each transaction any backend: locks, temporary tables and settings would land on other clients' ones.
"""

import select
import time
from contextlib import ExitStack, closing
from functools import cache
from typing import Any

import psycopg
from psycopg.pq import ExecStatus
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.queries import query

SECONDS = 5.0
"""That a pooler has to give us a second backend; one that has none left shares none."""


GIVEN: dict[str, Any] = {"autocommit": True, "connect_timeout": 10}


@cache
def shares_backends(url: str) -> bool:
    """Whether what answers at `url` lets several connections take turns on one backend.

    Two connections at once have two backends, unless these are shared: then the second one's transaction gets the
    one that the first has just used, or the first another than before. No lock is taken, so that none can stay.

    Raises:
        psycopg.Error: it does not answer.
    """
    with ExitStack() as stack:
        one, other = (stack.enter_context(closing(psycopg.connect(url, **GIVEN))) for _ in range(2))
        try:
            first = _answer(one, "which_backend")
            second = _answer(other, "which_backend_in_a_transaction") if first else None
            again = _answer(one, "which_backend") if second else None
        except psycopg.errors.ProtocolViolation:
            return True  # statement mode knows no transactions
    return again is not None and (first == second or first != again)


def _answer(connection: psycopg.Connection[TupleRow], name: str) -> bytes | None:
    """The one value of the last result of a named query; None if it takes more than `SECONDS`."""
    pgconn, deadline, value = connection.pgconn, time.monotonic() + SECONDS, None
    pgconn.send_query(query(name))
    while True:
        while pgconn.is_busy():
            if not select.select([pgconn.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return value
        if result.status == ExecStatus.TUPLES_OK:
            value = result.get_value(0, 0)
        elif result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
