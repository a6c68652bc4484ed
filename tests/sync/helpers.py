"""An archive to sync into, and questions to ask it."""

import time
from typing import Any

import psycopg

from bigbrotr_dagster.config import SynchronizerConfig


def config(**options: Any) -> SynchronizerConfig:
    """Options for relays on loopback: no lag, and some patience."""
    networks = {"clearnet": {"timeout": 10, "max_tasks": 5}}
    processing = options.pop("processing", {})
    if "end_lag" not in options:
        processing = {"end_lag": 0} | processing
    given = {"allow_private": True, "networks": networks, "processing": processing}
    return SynchronizerConfig.model_validate(given | options)


def ask(database: str, question: str) -> list[Any]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(question.encode()).fetchall()


def tell(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.encode())


def stored_ids(database: str, relay: str | None = None) -> set[str]:
    where = f"WHERE relay_url = '{relay}'" if relay else ""
    return {row[0] for row in ask(database, f"SELECT encode(event_id, 'hex') FROM event_relay {where}")}


READ_AGAIN = {"end_lag": 0, "lookback": 1}
"""Processing options with which what is `unread` is read by the next run, whatever its age."""


def unread(database: str, relay: str | None = None) -> None:
    """The last day of a relay, or of all, counts as not read again yet."""
    since = int(time.time()) - 86_400
    which = f"AND relay_url = '{relay}'" if relay else ""
    first = f"read_at_ages[1] = read_at_ages[1] - int8multirange(int8range({since}, NULL))"
    tell(database, f"UPDATE sync_coverage SET {first} WHERE read_at_ages IS NOT NULL {which}")
