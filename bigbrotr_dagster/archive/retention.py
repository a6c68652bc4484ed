"""Events that are left out by choice, though they were stored: counted, and deleted.

What is deleted is not asked for again, for the rules keep it out, and coverage says that it is left out. So rules
come from the configuration, not from the command line: what no rule keeps out would come back.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bigbrotr_dagster.config import ProcessingConfig
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.nostr.filter import LeftOut
from bigbrotr_dagster.storage.left_out import put_in_force
from bigbrotr_dagster.storage.locks import held_runs
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

BATCH = 5_000
"""Events that are deleted in one transaction."""


class RetentionRefused(CannotGoOn):
    """Nothing is deleted; the message says why, in one line."""


@dataclass(slots=True)
class LeftOutEvents:
    """Stored events that `rule` leaves out; `bytes` of their rows in PostgreSQL, without indexes."""

    rule: LeftOut
    events: int = 0
    observations: int = 0
    bytes: int = 0


def count_left_out(database_url: str, options: ProcessingConfig) -> Iterator[LeftOutEvents]:
    """What each rule would delete. An event that several rules leave out counts for each.

    Raises:
        psycopg.Error: the database did not answer.
    """
    for rule in _rules(options):
        yield _each_batch(database_url, rule, lambda ids: None)


def delete_left_out(database_url: str, options: ProcessingConfig) -> Iterator[LeftOutEvents]:
    """Delete what each rule leaves out, a transaction for each few thousand events; returns what was deleted.

    Before that the rules are put in force, so that coverage says what is missing from then on.

    Raises:
        RetentionRefused: a sync is under way that began before these rules were in force.
        psycopg.Error: the database did not answer, or the role may not delete; what was deleted stays so.
    """
    rules = _rules(options)
    if not rules:
        return
    since = put_in_force(database_url, rules)
    with connect(database_url) as connection:
        if since is not None:
            _refuse_while_others_store(connection, database_url, since)

        def delete(ids: list[bytes]) -> None:
            with connection.transaction():
                connection.execute(query("delete_events"), {"ids": ids})

        for rule in rules:
            yield _each_batch(database_url, rule, delete)


def _rules(options: ProcessingConfig) -> list[LeftOut]:
    return [one.rule() for one in options.leave_out]


def _refuse_while_others_store(connection: BlockingConnection, database_url: str, since: datetime) -> None:
    """A sync that does not know the rules yet may be about to note that a relay holds what is deleted."""
    rows = connection.execute(query("cycles_from_before"), {"moment": since}).fetchall()
    alive = held_runs(database_url, [run_id for (run_id,) in rows])
    if alive:
        raise RetentionRefused(
            f"run {min(alive)} began before these rules were in force: try again when it has ended"
        )


def _each_batch(database_url: str, rule: LeftOut, take: Callable[[list[bytes]], None]) -> LeftOutEvents:
    """Call `take` with the ids of all events that the rule leaves out, some thousand at once; returns the sums."""
    found = LeftOutEvents(rule)
    before = None if rule.older_than is None else int(time.time()) - rule.older_than
    values = {
        "kinds": None if rule.kinds is None else list(rule.kinds),
        "authors": None if rule.authors is None else [bytes.fromhex(author) for author in rule.authors],
        "before": before,
        "larger_than": rule.larger_than,
    }
    with (
        connect(database_url) as connection,
        connection.transaction(),
        connection.cursor("left_out") as cursor,  # the server's: there may be more than memory holds
    ):
        cursor.execute(query("left_out_events"), values)
        while rows := cursor.fetchmany(BATCH):
            ids = [id for (id,) in rows]
            for events, observations, size in connection.execute(query("size_of_events"), {"ids": ids}):
                found.events += events
                found.observations += observations
                found.bytes += size
            take(ids)
    return found
