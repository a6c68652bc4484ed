"""The steps of an adoption, in their order; each looks at what is there, and goes on from that."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.sql import Identifier

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.databases.adoption.indexes import leaves, make_indexes
from bigbrotr_dagster.storage.databases.adoption.short import shortly
from bigbrotr_dagster.storage.databases.adoption.views import make_tables, prepare_views, put_in_place
from bigbrotr_dagster.storage.databases.adoption.walks import Progress, Stretch, walk
from bigbrotr_dagster.storage.databases.bigbrotr import AdoptionRefused, Stage, stage
from bigbrotr_dagster.storage.databases.migrations import LOCK, migrate, missing_migrations
from bigbrotr_dagster.storage.queries import composed, migration_statements, query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

NUMBER, COPY = "number", "copy"
NUMBERING, COPYING = "numbering events", "copying observations"
LOOKING = "looking for events without a number"

PATIENCE = 6.0
"""Seconds that one who was killed may still hold the lock: its statement under way ends first."""


def adopt(url: str, *, batch_rows: int = 10_000, trust_cursors: bool = False) -> Generator[Progress, None, None]:
    """Take over BigBrotr's database at `url`, or go on with that; a `Progress` after each batch and at each step.

    `batch_rows`: that a batch has at most, about. `trust_cursors`: in the end, what BigBrotr's cursors say to be
    read counts as covered, and is read again.

    Raises:
        AdoptionRefused: it is no database of BigBrotr's, something stands in the way, or another is at it.
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    with _alone(url) as connection:
        at = stage(connection)
        if at is Stage.NOTHING or (at is Stage.TABLE and missing_migrations(connection)[0][0] > 1):
            raise AdoptionRefused(
                f"database {shown(url)} is none of BigBrotr's: `bigbrotr-dagster db migrate` sees to it"
            )
        if at is not Stage.VIEW:
            _refuse_obstacles(connection)
            if at is Stage.TABLE:
                _begin(connection)
            yield from _number(connection, batch_rows)
            yield from make_indexes(connection)
            yield from _mirror(connection)
            yield from _copy(connection, batch_rows)
            yield from _switch(connection)
        migrate(connection)
        if trust_cursors:
            filter_hash = Filter.from_dict({}).hash()
            trusted = connection.execute(query("trust_cursors"), {"filter_hash": filter_hash}).rowcount
            yield Progress("trusting cursors", f"of {trusted:,} relays, that will be read again")


def undo(url: str) -> Iterator[Progress]:
    """Leave off taking over a database: what was made for that goes, and it is BigBrotr's alone as before.

    Raises:
        AdoptionRefused: it is not being taken over, or another process is at it.
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    with _alone(url) as connection:
        if stage(connection) is not Stage.UNDER_WAY:
            raise AdoptionRefused(f"database {shown(url)} is not being taken over")
        work = lambda: connection.execute(query("undo_adoption"))  # noqa: E731
        yield from shortly(connection, "undoing", "lock_everything", work)


@contextmanager
def _alone(url: str) -> Iterator[BlockingConnection]:
    with connect(url) as connection:
        with suppress(psycopg.errors.InvalidParameterValue):  # not every system can tell
            connection.execute(query("end_with_the_client"))
        deadline = time.monotonic() + PATIENCE
        while not (connection.execute(query("try_to_adopt")).fetchone() or (False,))[0]:
            if time.monotonic() > deadline:
                raise AdoptionRefused(f"another process is taking over database {shown(url)}")
            time.sleep(0.2)
        yield connection


def _begin(connection: BlockingConnection) -> None:
    """From now on no migration runs; one that does is waited for."""
    with connection.transaction():
        connection.execute(query("wait_to_migrate"), {"key": LOCK})
        if stage(connection) is Stage.TABLE:
            connection.execute(query("begin_adoption"))


def _refuse_obstacles(connection: BlockingConnection) -> None:
    obstacles = [text for (text,) in connection.execute(query("adoption_obstacles"))]
    if obstacles:
        raise AdoptionRefused("this database cannot be taken over: " + "; ".join(obstacles))


def _number(connection: BlockingConnection, batch_rows: int) -> Iterator[Progress]:
    """Every event gets its number: new ones at once, the others in the order in which they lie."""
    is_there, is_whole = connection.execute(query("has_event_numbers")).fetchone() or (False, False)
    if is_whole:
        return
    if not is_there:
        yield from shortly(connection, NUMBERING, "lock_events", lambda: _number_new(connection))

    def batch(place: Stretch) -> int:
        order = composed("number_events", leaf=place.leaf)
        return connection.execute(order, {"first": place.first, "end": place.end}).rowcount

    while True:
        yield from walk(connection, NUMBER, "event", batch_rows, batch, NUMBERING)
        yield from _want_numbers(connection)
        try:
            yield from _look_for_unnumbered(connection)
        except psycopg.errors.CheckViolation:  # somebody had one locked, or has changed it
            connection.execute(query("forget_walk"), {"step": NUMBER})
        else:
            break
    end = lambda: connection.execute(query("every_event_has_its_number"))  # noqa: E731
    yield from shortly(connection, NUMBERING, "lock_events", end)


def _number_new(connection: BlockingConnection) -> None:
    for words in ("SEQUENCE event_seq", "USAGE ON SEQUENCE event_seq"):
        for statement in migration_statements(6, words):
            connection.execute(statement)
    connection.execute(query("number_new_events"))


def _want_numbers(connection: BlockingConnection) -> Iterator[Progress]:
    if not (connection.execute(query("is_number_wanted")).fetchone() or (False,))[0]:
        work = lambda: connection.execute(query("want_event_numbers"))  # noqa: E731
        yield from shortly(connection, NUMBERING, "lock_events", work)


def _look_for_unnumbered(connection: BlockingConnection) -> Iterator[Progress]:
    for schema, leaf in leaves(connection, "event"):
        yield Progress(LOOKING, leaf)
        connection.execute(composed("look_for_unnumbered", leaf=Identifier(schema, leaf)))
        yield Progress(LOOKING, f"vacuuming {leaf}")
        connection.execute(composed("vacuum_leaf", leaf=Identifier(schema, leaf)))


def _mirror(connection: BlockingConnection) -> Iterator[Progress]:
    """From here on what is written into `event_relay` is written into `observation`, too."""
    if (connection.execute(query("is_mirrored")).fetchone() or (False,))[0]:
        return

    def work() -> None:
        make_tables(connection)
        connection.execute(query("mirror_writes"))
        connection.execute(query("pass_over_what_is_there"))

    yield from shortly(connection, "mirroring writes", "lock_for_the_mirror", work)


def _copy(connection: BlockingConnection, batch_rows: int) -> Iterator[Progress]:
    """What was in `event_relay` before comes to `observation`."""

    def batch(place: Stretch) -> int | None:
        if not (connection.execute(query("try_to_copy")).fetchone() or (False,))[0]:
            return None
        connection.execute(query("look_up_one_by_one"))
        order = composed("adopt_observations", leaf=place.leaf)
        return connection.execute(order, {"first": place.first, "end": place.end}).rowcount

    yield from walk(connection, COPY, "event_relay", batch_rows, batch, COPYING)
    yield Progress("counting what was copied")
    connection.execute(query("analyze_adopted"))
    differing = connection.execute(query("differing_relays")).fetchall()
    if differing:
        yield from shortly(connection, COPYING, "lock_observations", lambda: _begin_to_copy_again(connection))
        url, there, here = differing[0]
        raise AdoptionRefused(
            f"the copy of {len(differing):,} relays is not like event_relay ({url}: {here:,} of {there:,} rows);"
            " it was thrown away: run this again to copy anew"
        )


def _begin_to_copy_again(connection: BlockingConnection) -> None:
    connection.execute(query("empty_observations"))
    connection.execute(query("forget_walk"), {"step": COPY})


def _switch(connection: BlockingConnection) -> Iterator[Progress]:
    """The view takes the place of the table."""
    yield Progress("making the views that read event_relay")
    prepare_views(connection)
    step = "putting the view in the table's place"
    yield from shortly(connection, step, "lock_everything", lambda: put_in_place(connection))
