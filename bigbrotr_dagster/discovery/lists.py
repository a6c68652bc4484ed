"""Lists of relays at HTTP addresses, which the operator names in `discovery.apis`."""

import logging
import time
import urllib.request
from http.client import HTTPException
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from bigbrotr_dagster.config import ApiConfig, SynchronizerConfig
from bigbrotr_dagster.discovery.candidates import Refusals, note_urls
from bigbrotr_dagster.errors import ArchiveError
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

__all__ = ["ListUnavailable", "ask_lists", "is_list_due"]

log = logging.getLogger(__name__)

USER_AGENT = "bigbrotr-dagster"
PIECE = 64 * 1024
"""Bytes that are read at once: between two pieces the clock is looked at."""


class ListUnavailable(ArchiveError):
    """A list did not come, or is none; the message is one line."""


def ask_lists(database_url: str, options: SynchronizerConfig, refused: Refusals) -> int:
    """Ask every list whose cooldown is over; returns how many candidates are new.

    A list that does not come is a warning in the log, and is asked again at the next look.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    new = 0
    for api in options.discovery.apis:
        with connect(database_url) as connection:
            is_due = is_list_due(connection, api)
        if not is_due:
            continue
        try:
            urls = fetch(api)
        except ListUnavailable as error:
            log.warning("%s: %s", api.url, error)
            continue
        with connect(database_url) as connection, connection.transaction():
            added, why_not = note_urls(connection, urls, "api", options)
            connection.execute(query("note_list"), {"url": api.url, "timestamp": int(time.time())})
        new += added
        refused.update(why_not)
    return new


def is_list_due(connection: BlockingConnection, api: ApiConfig) -> bool:
    """Whether a list is to be asked: it is enabled, and its cooldown is over.

    Raises:
        psycopg.Error: the database did not answer.
    """
    row = connection.execute(query("list_asked_at"), {"url": api.url}).fetchone()
    return api.enabled and (row is None or row[0] is None or time.time() - row[0] >= api.cooldown)


def fetch(api: ApiConfig) -> list[str]:
    """The texts that the list's expression finds in its document.

    Raises:
        ListUnavailable: no answer in time, more bytes than `max_response_size`, no JSON, or no list in it.
    """
    try:
        found = jmespath.search(api.expression, orjson.loads(_document(api)))
    except orjson.JSONDecodeError as error:
        raise ListUnavailable("it is not JSON") from error
    except (JMESPathError, ValueError, TypeError) as error:
        raise ListUnavailable(safe_line(f"{api.expression}: {error}")) from error
    if not isinstance(found, list):
        raise ListUnavailable(f"{api.expression} finds {type(found).__name__}, not a list")
    return [text for text in found if isinstance(text, str)]


def _document(api: ApiConfig) -> bytes:
    deadline = time.monotonic() + api.timeout
    request = urllib.request.Request(  # noqa: S310 - the configuration takes http:// and https:// only
        api.url, headers={"Accept": "application/json", "User-Agent": USER_AGENT}
    )
    document = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=api.timeout) as answer:  # noqa: S310
            while piece := _next_piece(answer):
                document += piece
                if len(document) > api.max_response_size:
                    raise ListUnavailable(f"more than {api.max_response_size} bytes")
                if time.monotonic() > deadline:
                    raise ListUnavailable(f"no end within {api.timeout:g} s")
    except (OSError, HTTPException, ValueError) as error:
        raise ListUnavailable(safe_line(str(error) or type(error).__name__)) from error
    return bytes(document)


def _next_piece(answer: Any) -> bytes:
    """What has come, without waiting for a whole piece."""
    piece: bytes = answer.read1(PIECE)
    return piece
