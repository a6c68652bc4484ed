"""What the archive leaves out by choice, and that coverage never claims more than that.

Coverage is kept under what was asked for: a filter, and what of it is left out. Where rules change, what was
proved before is carried to the name that says less: "all" becomes "all but kind 7" as soon as kind 7 is left out,
and nothing is read again. The other way round nothing can be carried: what was left out has to be read. A claim of
more is never kept, for what it says may be deleted by then.
"""

from collections.abc import Sequence
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from bigbrotr_dagster.nostr.filter import Filter, LeftOut
from bigbrotr_dagster.storage.locks import lock_key
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

LOCK = lock_key("rules", "leave_out")

TRIES = 5
"""A change takes many rows that syncs change as well, and may be the one that gives way."""


def put_in_force(database_url: str, rules: Sequence[LeftOut]) -> datetime | None:
    """Let these rules, and no others, be in force; returns since when they are, None where there never were any.

    What coverage claims is brought in line, all of it or nothing.

    Raises:
        psycopg.Error: the database did not answer.
    """
    with connect(database_url) as connection:
        in_force, since = _in_force(connection)
        if in_force == _named(rules):
            return since
        for attempt in range(TRIES):
            try:
                return _change(connection, rules)
            except psycopg.errors.DeadlockDetected:
                if attempt == TRIES - 1:
                    raise
        return None


def _change(connection: BlockingConnection, rules: Sequence[LeftOut]) -> datetime | None:
    with connection.transaction():
        connection.execute(query("lock_rules"), {"key": LOCK})
        in_force, since = _in_force(connection)
        if in_force == _named(rules):  # another process was faster
            return since
        before = [LeftOut.from_dict(rule) for rule in in_force]
        for name, described in connection.execute(query("filters_of_coverage")).fetchall():
            _bring_in_line(connection, name, Filter.from_description(described), (*before, *rules))
        connection.execute(query("put_rules_in_force"), {"rules": Jsonb(_named(rules))})
        return _in_force(connection)[1]


def _bring_in_line(connection: BlockingConnection, name: str, old: Filter, rules: Sequence[LeftOut]) -> None:
    """Let what is claimed under a filter be claimed under one that leaves out what was, or is, left out."""
    new = old.leaving_out(rules)
    if new.hash() == name:
        return
    names = {"old": name, "new": new.hash()}
    connection.execute(query("carry_gaps"), names)
    connection.execute(query("carry_coverage"), names | {"filter": Jsonb(new.described())})
    connection.execute(query("drop_claims"), names)


def _in_force(connection: BlockingConnection) -> tuple[list[dict[str, object]], datetime | None]:
    row = connection.execute(query("rules_in_force")).fetchone()
    return ([], None) if row is None else (row[0], row[1])


def _named(rules: Sequence[LeftOut]) -> list[dict[str, object]]:
    """The rules as JSON has them, whatever order and however often they were given."""
    return [rule.to_dict() for rule in Filter().leaving_out(rules).left_out]
