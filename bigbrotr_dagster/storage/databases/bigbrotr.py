"""What a database of BigBrotr's is, as far as it is ours already, and what is not done to it in one go."""

from enum import Enum, auto

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.queries import query

Connection = psycopg.Connection[TupleRow]

MOST_AT_ONCE = 100_000
"""Observations, about, that the migrations take over, in one transaction under a lock: some ten seconds."""


class AdoptionRefused(CannotGoOn):
    """A database of BigBrotr's has to be taken over otherwise, or cannot be yet; the message says how."""


class Stage(Enum):
    """How far a database is on its way from BigBrotr to us."""

    NOTHING = auto()
    """It has no table of BigBrotr's."""

    TABLE = auto()
    """`event_relay` is a table: BigBrotr's, or that of an archive of our first release."""

    UNDER_WAY = auto()
    """It is being taken over."""

    VIEW = auto()
    """`event_relay` is the view: the database is ours."""


def stage(connection: Connection) -> Stage:
    """How far the database is.

    Raises:
        psycopg.Error: it did not answer.
    """
    kind, has_others, is_under_way = connection.execute(query("adoption_state")).fetchone() or (None, False, False)
    if is_under_way:
        return Stage.UNDER_WAY
    if kind == "v":
        return Stage.VIEW
    return Stage.TABLE if kind in ("r", "p") and has_others else Stage.NOTHING


def observations(connection: Connection) -> int:
    """How many rows `event_relay` has, about, where it is a table.

    Raises:
        psycopg.Error: the database did not answer.
    """
    row = connection.execute(query("estimated_observations")).fetchone()
    return int(row[0]) if row else 0


def refuse_what_is_adopted_online(connection: Connection, *, is_migrated: bool) -> None:
    """See that the migrations may run: not while the database is taken over, and not where that takes long.

    `is_migrated`: it has had our migrations before, and is an archive of ours of any age.

    Raises:
        AdoptionRefused: they may not.
        psycopg.Error: the database did not answer.
    """
    at, name = stage(connection), connection.info.dbname
    if at is Stage.UNDER_WAY:
        row = connection.execute(query("adoption_progress")).fetchone()
        percent = int(row[0]) if row else 0
        raise AdoptionRefused(
            f"database {name} is being taken over from BigBrotr: {percent}%; `bigbrotr-dagster db adopt` goes on"
            " with it, where it is not at it now"
        )
    if at is Stage.TABLE and not is_migrated and (rows := observations(connection)) > MOST_AT_ONCE:
        raise AdoptionRefused(
            f"database {name} is BigBrotr's and holds some {rows:,} observations:"
            " `bigbrotr-dagster db adopt` takes it over while BigBrotr goes on"
        )
