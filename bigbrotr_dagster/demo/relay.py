"""A small, well-behaved, read-only NIP-01 relay on loopback, for practice.

It answers newest first, ties by lowest id, at most 500 events a filter, `since` and `until` inclusive. An
event becomes visible at its `created_at`; what becomes visible after EOSE is not pushed.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import chain
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter

MAX_LIMIT = 500
MAX_SUBSCRIPTIONS = 20
MAX_SUBID_LENGTH = 64
MAX_MESSAGE_LENGTH = 128 * 1024


class PracticeRelay:
    """Serves `events` under `name`; `answer` and `inform` are for websockets' `serve`."""

    def __init__(self, name: str, events: Iterable[Event]) -> None:
        self.name = name
        newest_first = sorted(events, key=lambda event: (-event.created_at, event.id))
        self._events = [(event, event.to_json()) for event in newest_first]
        self._ages = [-event.created_at for event in newest_first]

    async def answer(self, socket: ServerConnection) -> None:
        """Speak NIP-01 with one client until it leaves."""
        open_subscriptions: set[str] = set()
        async for text in socket:
            for reply in self._replies(text, open_subscriptions):
                await socket.send(reply, text=True)

    def inform(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP: NIP-11 where it is asked for, else one line for a person."""
        if "upgrade" in request.headers.get("Connection", "").lower():
            return None
        if "application/nostr+json" not in request.headers.get("Accept", ""):
            return socket.respond(HTTPStatus.OK, f"{self.name}: a Nostr relay. Use a Nostr client.\n")
        response = socket.respond(HTTPStatus.OK, orjson.dumps(self._document()).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/nostr+json"
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    def stored(self, selection: Filter, now: float) -> Iterator[bytes]:
        """Yield the JSON of the events that answer one filter, in NIP-01's order."""
        until = int(now) if selection.until is None else min(selection.until, int(now))
        left = MAX_LIMIT if selection.limit is None else min(selection.limit, MAX_LIMIT)
        for event, encoded in self._events[bisect_left(self._ages, -until) :]:
            if left == 0 or (selection.since is not None and event.created_at < selection.since):
                return
            if selection.matches_selection(event):
                left -= 1
                yield encoded

    def _replies(self, text: str | bytes, open_subscriptions: set[str]) -> Iterator[bytes]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield _encoded("NOTICE", "invalid: not JSON")
            return
        match message:
            case ["REQ", str(id), *filters] if 1 <= len(id) <= MAX_SUBID_LENGTH and filters:
                yield from self._subscribe(id, filters, open_subscriptions)
            case ["CLOSE", str(id)]:
                open_subscriptions.discard(id)
            case ["EVENT", {"id": str(id)}]:
                yield _encoded("OK", id, False, "blocked: this is a practice relay, it takes no events")
            case ["REQ" | "COUNT" | "NEG-OPEN" as label, str(id), *_]:
                yield _encoded("CLOSED", id, f"unsupported: this {label}")
            case _:
                yield _encoded("NOTICE", "invalid: not a message that this relay knows")

    def _subscribe(self, id: str, filters: list[Any], open_subscriptions: set[str]) -> Iterator[bytes]:
        if len(open_subscriptions - {id}) >= MAX_SUBSCRIPTIONS:
            yield _encoded("CLOSED", id, f"rate-limited: more than {MAX_SUBSCRIPTIONS} subscriptions")
            return
        try:
            selections = [Filter.from_dict(each) for each in filters]
        except ValueError as exc:
            prefix = "unsupported" if "unknown filter key" in str(exc) else "invalid"
            yield _encoded("CLOSED", id, f"{prefix}: {exc}")
            return
        open_subscriptions.add(id)
        now = time.time()
        envelope = b'["EVENT",' + orjson.dumps(id) + b","
        found = chain.from_iterable(self.stored(selection, now) for selection in selections)
        for encoded in dict.fromkeys(found):  # an event that matches two filters is sent once
            yield envelope + encoded + b"]"
        yield _encoded("EOSE", id)

    def _document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": "Made-up events on loopback, for trying out bigbrotr-dagster.",
            "software": "bigbrotr-dagster",
            "supported_nips": [1, 11],
            "limitation": {
                "max_limit": MAX_LIMIT,
                "max_subscriptions": MAX_SUBSCRIPTIONS,
                "max_subid_length": MAX_SUBID_LENGTH,
                "max_message_length": MAX_MESSAGE_LENGTH,
                "auth_required": False,
            },
        }


def _encoded(*parts: object) -> bytes:
    return orjson.dumps(parts)
