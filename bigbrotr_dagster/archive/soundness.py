"""Whether the archive is what it should be: its events verified again, its observations followed.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer. Its cost does not
grow with the archive, but for `orphans` where it is to look at all.
"""

import hashlib
import secrets

from bigbrotr_dagster.archive.stats import PATIENCE, looking
from bigbrotr_dagster.nostr.event import Event, verify_signature
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

DRAWN_EVENTS = 500
DRAWN_OBSERVATIONS = 2_000
LAST_ATTEMPTS = 20_000

DRAWS = 25
"""Places in a table from which a check draws."""


def rejections(database_url: str, attempts: int = LAST_ATTEMPTS) -> tuple[int, dict[str, int]]:
    """Events that the last attempts received, and the rejected ones by reason."""
    with looking(database_url) as connection:
        (_, received), *reasons = connection.execute(query("rejections"), {"attempts": attempts}).fetchall()
    return received, dict(reasons)


def unsound_events(database_url: str, count: int = DRAWN_EVENTS) -> tuple[int, dict[str, str]]:
    """Verify about `count` stored events again: how many were looked at, and what is wrong by id."""
    with looking(database_url) as connection:
        drawn = draw_events(connection, count)
    return len(drawn), {event.id: problem for event in drawn if (problem := _problem(event))}


def orphans(database_url: str, *, look_at_all: bool = False) -> tuple[int, list[str]]:
    """How many observations were looked at, and those of them whose event is not stored.

    They are drawn at random; all of them, however long that takes, where it is to `look_at_all`.
    """
    with looking(database_url, None if look_at_all else PATIENCE) as connection:
        if look_at_all:
            row = connection.execute(query("all_orphans"), {"everywhere": True}).fetchone()
        else:
            places = [int.from_bytes(start[:4]) / 2**32 for start in _places()]
            values = {"places": places, "each": -(-DRAWN_OBSERVATIONS // DRAWS)}
            row = connection.execute(query("draw_orphans"), values).fetchone()
    return (row[0], row[1] or []) if row else (0, [])


def draw_events(connection: BlockingConnection, count: int) -> list[Event]:
    """About `count` stored events at random; all, where there are no more than a few."""
    values = {"ids": _places(), "each": -(-count // DRAWS)}
    return [
        Event(id.hex(), pubkey.hex(), created_at, kind, tags, content, sig.hex())
        for id, pubkey, created_at, kind, tags, content, sig in connection.execute(query("draw_events"), values)
    ]


def _places() -> list[bytes]:
    """The first id, and ids at random: an id is a hash, so all are as likely."""
    return [bytes(32), *(secrets.token_bytes(32) for _ in range(DRAWS - 1))]


def _problem(event: Event) -> str | None:
    if hashlib.sha256(event.serialize()).hexdigest() != event.id:
        return "bad_id"
    return None if verify_signature(event) else "bad_signature"
