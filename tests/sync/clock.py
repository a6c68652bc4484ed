"""Time that passes at will: in the program, and for all that its database remembers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.sync.helpers import ask


def pass_time(database: str, seconds: float) -> None:
    """Make everything that the archive remembers so many seconds older."""
    columns = ask(
        database,
        "SELECT table_name, column_name FROM information_schema.columns JOIN pg_tables ON tablename = table_name"
        " WHERE table_schema = 'public' AND schemaname = 'public' AND data_type = 'timestamp with time zone'",
    )
    with psycopg.connect(database, autocommit=True) as connection:
        for table, column in columns:
            statement = sql.SQL("UPDATE {} SET {} = {} - make_interval(secs => %s)")
            connection.execute(statement.format(*map(sql.Identifier, (table, column, column))), [seconds])


class Clock:
    """The time of day, `ahead` seconds of the machine's; what measures durations goes on as it is."""

    def __init__(self, database: str, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._database = database
        self._machines = time.time

    def time(self) -> float:
        """Unix time."""
        return self._machines() + self.ahead

    def forward(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.ahead += seconds
        pass_time(self._database, seconds)


@contextmanager
def clock(database: str, ahead: float = 0.0) -> Iterator[Clock]:
    """`time.time()` is the clock's, as long as this lasts."""
    simulated, machines = Clock(database, ahead), time.time
    time.time = simulated.time
    try:
        yield simulated
    finally:
        time.time = machines
