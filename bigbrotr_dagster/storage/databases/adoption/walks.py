"""A table gone through in batches of blocks, all partitions side by side; what is done is noted with the batch."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg.sql import Identifier

from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

SECONDS = 0.25
"""That a batch should take at most: somebody may wait for its end."""

UNKNOWN = 100.0
"""Rows that a block may hold, where nobody has counted."""

PAUSE = 0.1
"""Seconds until a batch is tried again that could not begin."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a step is getting on.

    `detail`: what of it is under way, or waited for. `done`: the share of it, 0 to 1; None where nobody knows.
    `rows` were handled in this process, `rate` of them a second, and it will take `seconds_left`. `held`: seconds
    for which others were locked out just now.
    """

    step: str
    detail: str = ""
    done: float | None = None
    rows: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    held: float = 0.0


class Stretch(NamedTuple):
    """Blocks of a table on the disk: the places of their first row and of the first after them, as text."""

    leaf: Identifier
    first: str
    end: str


Batch = Callable[[Stretch], int | None]
"""Does a batch in the transaction that is open, and returns the rows; None if it cannot be done now."""


class _Pace:
    """How many blocks a batch takes: as many as hold the wanted rows, fewer where they take long."""

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._share = 0.1

    def blocks(self, rows_a_block: float) -> int:
        return max(1, int(self._share * self._most_rows / (rows_a_block or UNKNOWN)))

    def took(self, seconds: float) -> None:
        if seconds > SECONDS:
            self._share = max(self._share / 2, 0.001)
        elif seconds < SECONDS / 2:
            self._share = min(self._share * 1.25, 1.0)


def walk(
    connection: BlockingConnection, step: str, table: str, batch_rows: int, batch: Batch, title: str
) -> Iterator[Progress]:
    """Go through what is left of `table` for this step (`title`: in words), at most `batch_rows` a time, about.

    Raises:
        psycopg.Error: a batch failed; those before it are done.
    """
    connection.execute(query("begin_walk"), {"step": step, "table": table})
    pace, began, rows = _Pace(batch_rows), time.monotonic(), 0
    before, _ = _length(connection, step)
    while stretch := connection.execute(query("next_stretch"), {"step": step}).fetchone():
        leaf, schema, name, first, blocks, rows_a_block = stretch
        end = min(blocks, first + pace.blocks(rows_a_block))
        started = time.monotonic()
        place = Stretch(Identifier(schema, name), f"({first},0)", f"({end},0)")
        handled = _do(connection, batch, place, {"step": step, "leaf": leaf, "end": end})
        if handled is None:
            yield Progress(title, "waiting for somebody who deletes")
            time.sleep(PAUSE)
            continue
        pace.took(time.monotonic() - started)
        rows += handled
        yield _progress(connection, step, title, rows, before, began)


def _do(connection: BlockingConnection, batch: Batch, place: Stretch, noted: dict[str, object]) -> int | None:
    """The rows of a batch; None if it could not be done now, or if its table was written anew meanwhile."""
    with connection.transaction() as transaction:
        connection.execute(query("commit_without_waiting"))
        handled = batch(place)
        if handled is None:
            raise psycopg.Rollback(transaction)
        if connection.execute(query("note_stretch"), noted).rowcount:
            return handled
        raise psycopg.Rollback(transaction)
    if handled is not None:
        connection.execute(query("walk_again"), {"step": noted["step"], "leaf": noted["leaf"]})
    return None


def _length(connection: BlockingConnection, step: str) -> tuple[int, int]:
    row = connection.execute(query("walk_length"), {"step": step}).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _progress(
    connection: BlockingConnection, step: str, title: str, rows: int, before: int, began: float
) -> Progress:
    done, blocks = _length(connection, step)
    seconds = max(time.monotonic() - began, 0.001)
    left = seconds * (blocks - done) / (done - before) if done > before else None
    return Progress(title, done=done / max(blocks, 1), rows=rows, rate=rows / seconds, seconds_left=left)
