"""What PostgreSQL refuses, as one line that says what is wrong and what to do.

Every error of the database becomes a `DatabaseUnavailable` here: raised by psycopg, by SQLAlchemy below Dagster,
in an exception group or at the bottom of a chain of causes. What to do is chosen by SQLSTATE, for messages come in
the server's language.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bigbrotr_dagster.errors import CannotGoOn

MOST_CHARACTERS = 1_000
"""Of a line."""

ADVICE = {
    "08P01": "a pooler between here and the server does not understand us: name the server itself",
    "22021": "the database holds bytes that are not in its encoding",
    "25006": "nothing can be written there (a standby, or default_transaction_read_only): name the primary",
    "28": "check user and password in BIGBROTR_DATABASE_URL, and pg_hba.conf",
    "3D000": "`bigbrotr-dagster db migrate` makes it",
    "42501": "let the role own the database (ALTER DATABASE ... OWNER TO ...), or grant it what is missing",
    "42703": "`bigbrotr-dagster db migrate` brings the schema up to date",
    "42883": "`bigbrotr-dagster db migrate` brings the schema up to date",
    "42P01": "`bigbrotr-dagster db migrate` brings the schema up to date",
    "53100": "the server's disk is full: make room; what was not stored is asked for again",
    "53200": "the server is out of memory",
    "53300": "no connection is free: raise max_connections, or end what holds them",
    "55000": "the database takes no connections",
    "57014": "a statement was canceled",
    "57P": "the server is stopping, starting or recovering: try again when it runs",
    "58": "the server cannot use its files: see its log",
    "XX": "the server has failed: see its log",
}
"""What to do, by SQLSTATE or its beginning; the longest that fits counts."""

CONNECTION_ADVICE = {
    "too many clients": ADVICE["53300"],
    "remaining connection slots": ADVICE["53300"],
    "too many connections": ADVICE["53300"],
    "password": ADVICE["28"],
    "authentication": ADVICE["28"],
    "pg_hba.conf": ADVICE["28"],
    "starting up": ADVICE["57P"],
    "shutting down": ADVICE["57P"],
    "recovery": ADVICE["57P"],
    "unsupported startup parameter": ADVICE["08P01"],
}
"""What to do where no session begins, by English words: libpq gives no SQLSTATE then. Advice only hangs on it."""

UNREACHABLE = "does BIGBROTR_DATABASE_URL name a running server?"


class DatabaseUnavailable(CannotGoOn):
    """PostgreSQL cannot be reached, or refuses; the message is one line and holds no password."""


def database_trouble(error: BaseException, where: str | None = None) -> DatabaseUnavailable | None:
    """The database's error in `error`, as one line; None where there is none.

    `where`: the server and database, without password.
    """
    for one in _causes(error, set()):
        if isinstance(one, DatabaseUnavailable):
            return one
        if isinstance(one, psycopg.Error) or hasattr(one, "pgcode"):  # the latter: psycopg2, Dagster's driver
            return unavailable(one, where)
    return None


@contextmanager
def database_errors(where: str) -> Iterator[None]:
    """Where the database is at the bottom of what goes wrong meanwhile, raise that alone: several may have met it.

    `where`: the server and database, without password.
    """
    try:
        yield
    except Exception as error:
        trouble = database_trouble(error, where)
        if trouble is None or trouble is error:
            raise
        raise trouble from error


def unavailable(error: BaseException, where: str | None = None) -> DatabaseUnavailable:
    """One line on an error of psycopg's (or psycopg2's): who says it, what, and what to do."""
    diagnosis = getattr(error, "diag", None)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    said = one_line(getattr(diagnosis, "message_primary", None) or _said(error))
    advice = _advice(state) if state else _connection_advice(error, said)
    place = f"PostgreSQL at {one_line(where)}" if where else "PostgreSQL"
    return DatabaseUnavailable(f"{place}: {said}" + (f"; {advice}" if advice else ""))


def one_line(text: str) -> str:
    """Text of any kind on one line, without control characters, cut where it is long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + " ..."


def _said(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if not line.strip().startswith("Is the server running")]
    return " ".join(lines) or type(error).__name__


def _advice(state: str) -> str | None:
    fitting = [key for key in ADVICE if state.startswith(key)]
    return ADVICE[max(fitting, key=len)] if fitting else None


def _connection_advice(error: BaseException, said: str) -> str | None:
    for words, advice in CONNECTION_ADVICE.items():
        if words in said:
            return advice
    return UNREACHABLE if isinstance(error, psycopg.OperationalError) or hasattr(error, "pgcode") else None


def _causes(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The error, those in its group, what SQLAlchemy wrapped in it, and what it came from, outermost first."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    inner = [*error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    before = None if error.__suppress_context__ else error.__context__
    for one in (*inner, getattr(error, "orig", None), error.__cause__, before):
        if isinstance(one, BaseException):
            yield from _causes(one, seen)
