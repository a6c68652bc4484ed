"""A PostgreSQL server for the time of a benchmark, and fresh databases on it."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database
from tests.postgres15 import postgres15

BIGBROTR_SCHEMA = Path(__file__).with_name("bigbrotr_schema.sql")

OURS = "template_ours"
BIGBROTR = "template_bigbrotr"


class Archives:
    """Debian's PostgreSQL 15 as it comes, but without fsync: what is measured is the client, not the disk."""

    def __init__(self, server: str, pid: int) -> None:
        self._server = server
        self.pid = pid
        self._numbers = itertools.count()
        ensure_database(in_database(server, OURS))
        self._execute(f"CREATE DATABASE {BIGBROTR}")
        with psycopg.connect(in_database(server, BIGBROTR), autocommit=True) as connection:
            connection.execute(BIGBROTR_SCHEMA.read_bytes())

    @contextmanager
    def fresh(self, template: str = OURS) -> Iterator[str]:
        """URL of an empty archive, dropped in the end; what an earlier one left to be written is written first."""
        name = f"benchmark_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._execute("CHECKPOINT")
        try:
            yield in_database(self._server, name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def version(self) -> str:
        with psycopg.connect(self._server) as connection:
            return connection.execute("SHOW server_version").fetchone()[0]  # type: ignore[index,no-any-return]

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def archives() -> Iterator[Archives]:
    """A running server of our own, stopped and removed in the end."""
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder)) as server:
        yield Archives(server.url, server.pid)


def stored(database: str) -> tuple[int, int]:
    """The numbers of events, and of pairs of an event and a relay, in an archive of either kind."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM event_relay)"
        ).fetchone()
    assert row is not None
    return row[0], row[1]
