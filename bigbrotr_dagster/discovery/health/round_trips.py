"""nip66_rtt and nip66_http: how long a relay takes to open and to answer, and what its server is. Pure."""

from dataclasses import dataclass

from bigbrotr_dagster.discovery.health.documents import (
    MAX_REASON,
    Check,
    Document,
    failed,
    storable,
    succeeded,
    without_nulls,
)

MAX_HEADER = 300
"""Characters."""

NO_EVENTS = "no events returned"


@dataclass(frozen=True, slots=True)
class Talk:
    """What came of a WebSocket: seconds until it was open, and until the first event; None: that did not happen.

    `write`: seconds until an event was taken; `write_reason` is None where that was not tried.
    `spoke`: whether the other end said what only a relay says. The headers are those of the handshake's answer.
    """

    open: float | None = None
    read: float | None = None
    open_reason: str = ""
    read_reason: str = ""
    write: float | None = None
    write_reason: str | None = None
    spoke: bool = False
    server: str | None = None
    powered_by: str | None = None


def rtt_document(talk: Talk) -> Document:
    """Round trips in whole milliseconds. What could not be opened cannot be read either, for the same reason."""
    data = {
        "rtt_open": milliseconds(talk.open),
        "rtt_read": milliseconds(talk.read),
        "rtt_write": milliseconds(talk.write),
    }
    read_reason = talk.read_reason if talk.open is not None else talk.open_reason
    logs: dict[str, bool | str | None] = {
        "open_success": talk.open is not None,
        "open_reason": None if talk.open is not None else storable(talk.open_reason, MAX_REASON),
        "read_success": talk.read is not None,
        "read_reason": None if talk.read is not None else storable(read_reason or NO_EVENTS, MAX_REASON),
    }
    if talk.write_reason is not None:
        logs["write_success"] = talk.write is not None
        logs["write_reason"] = storable(talk.write_reason, MAX_REASON) or None
    return Document(Check.RTT, without_nulls(data), without_nulls(logs))


def http_document(talk: Talk) -> Document:
    """What the server calls itself."""
    if talk.open is None:
        return failed(Check.HTTP, talk.open_reason)
    data = {
        "http_server": _header(talk.server),
        "http_powered_by": _header(talk.powered_by),
    }
    found = without_nulls(data)
    return succeeded(Check.HTTP, found) if found else failed(Check.HTTP, "no server headers found")


def milliseconds(seconds: float | None) -> int | None:
    """Whole ones, and at least one: something that took no time was not measured."""
    return None if seconds is None else max(1, round(seconds * 1000))


def _header(value: str | None) -> str | None:
    return storable(value, MAX_HEADER) if value else None
