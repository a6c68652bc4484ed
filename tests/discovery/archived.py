"""Events that are archived already, without a relay: what discovery looks at."""

import hashlib
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import psycopg
from psycopg.types.json import Jsonb

_numbers = itertools.count()


class Made(NamedTuple):
    """An event that names something; nobody looks at its signature."""

    kind: int = 1
    tags: tuple[tuple[str, ...], ...] = ()
    content: str = ""
    author: str = "somebody"
    created_at: int = 1_700_000_000


def naming(*urls: str, author: str = "somebody") -> Made:
    """A relay list (NIP-65)."""
    return Made(10002, tuple(("r", url) for url in urls), author=author)


def key(author: str) -> bytes:
    return hashlib.sha256(author.encode()).digest()


def archive(database: str, events: Iterable[Made]) -> None:
    with psycopg.connect(database) as connection:
        put(connection, events)


def put(connection: "psycopg.Connection[tuple[object, ...]]", events: Iterable[Made]) -> None:
    """Write them in the transaction that is open."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY event (id, pubkey, created_at, kind, tags, tagvalues, content, sig) FROM STDIN") as copy,
    ):
        for event in events:
            id = hashlib.sha256(f"{next(_numbers)}".encode()).digest()
            tags = Jsonb([list(tag) for tag in event.tags])
            copy.write_row(
                (id, key(event.author), event.created_at, event.kind, tags, [], event.content, bytes(64))
            )
