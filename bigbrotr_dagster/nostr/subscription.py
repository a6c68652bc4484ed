"""One REQ's answers, collected into a page. Pure: no clock, no I/O; `conversation` waits and sends.

A relay is an adversary. Whatever it sends is counted against a bound (events, bytes, garbage, what does not
concern this subscription), and only what was proven to be an event that the filter asked for enters the page.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from bigbrotr_dagster.nostr.event import Event, EventError, parse_event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.messages import (
    CROWDED,
    AuthChallenge,
    Closed,
    Eose,
    EventMessage,
    Message,
    Notice,
    Ok,
    ProtocolError,
    parse_message,
)
from bigbrotr_dagster.nostr.rejected import Rejected, Rejection, rejected
from bigbrotr_dagster.nostr.weight import weight
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome

MAX_REJECTED_KEPT = 100
MAX_REJECTED_BYTES = 1024 * 1024
"""A page keeps this many rejected events, and this many of their bytes; the rest is counted only."""

MAX_GARBAGE = 1000
"""Messages in one page that are no NIP-01 message at all."""

MAX_IGNORED = 10_000
"""Messages in one page that do not concern its subscription: other subscriptions' events, notices."""


class Stamp(NamedTuple):
    """What is left of an event that was handed over before its request ended."""

    id: str
    created_at: int
    kind: int
    pubkey: str


@dataclass(slots=True)
class Reply:
    """Everything that one request brought.

    `events` match the whole filter, in order of arrival, each copy (id and signature) once; `outside` match all
    but `since` and `until`. `received` counts the EVENT messages of this request, `bytes` all that was read during
    it, `ignored` the messages that do not concern it, `garbage` those that nobody understands. `waited`: seconds
    until the relay said anything; `lasted`: in all. `late` counts the events that came after its EOSE, where they
    were waited for; `silence` is the longest time, in seconds, after which one of those came. `as_member`: the
    relay refused to answer until we had authenticated.

    `refused` counts the EVENT messages of this request that came in place of an event: whatever is wrong with
    them, they used up room in the relay's answer. `rejected_at` are the seconds that these claim, where they claim
    any; by the digests in `refused_ids` the same things are known when they come again. What does not match the
    filter's selection is counted in `rejected_counts` alone, as "off_filter".

    `weight` is the memory, in bytes, that its events and what was rejected take. Those that were handed over
    before the end (`Subscription.take_part`) are stamps here, and not among `rejected`; all are counted.
    """

    outcome: Outcome
    events: list[Event | Stamp] = field(default_factory=list)
    outside: list[Event | Stamp] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    rejected_counts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    rejected_at: list[int] = field(default_factory=list)
    refused_ids: set[int] = field(default_factory=set)
    duplicates: int = 0
    received: int = 0
    ignored: int = 0
    garbage: int = 0
    bytes: int = 0
    weight: int = 0
    waited: float = 0.0
    lasted: float = 0.0
    late: int = 0
    silence: float = 0.0
    as_member: bool = False

    @property
    def summary(self) -> str:
        """What was read, in words: why that is no answer."""
        return f"{self.received} events, {self.ignored + self.garbage} other messages, {self.bytes:,} bytes"


Meaning = Outcome | Notice | AuthChallenge | Ok | None


class Subscription:
    """Feed it every message of the connection, in order; it says when the request has ended.

    `max_events` and `max_bytes` bound the page; one more is a protocol error. An event of more than
    `max_event_size` bytes of JSON is rejected as too large.
    """

    def __init__(
        self,
        id: str,
        selection: Filter,
        *,
        max_events: int,
        max_bytes: int,
        max_event_size: int | None = None,
    ) -> None:
        self.filter = selection
        self.notice: str | None = None
        """The text of a NOTICE that no event has followed: it may stand in place of the answer."""
        self.notices = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_event_size = max_event_size
        self._page = Reply(Outcome(Ending.TIMEOUT))
        self._seen: set[tuple[str, str]] = set()
        self._rejected_kept = 0
        self._raw_kept = 0
        self._parted = (0, 0)  # events, and those outside, that were handed over
        self.weight = 0
        """As in `Reply`, of what has come and was not handed over."""
        self.reopen(id)

    def reopen(self, id: str) -> None:
        """Go on under another subscription id: the REQ is sent again, what arrived stays in the page."""
        self.id = id
        self._envelope = len(f'["EVENT","{id}",]')

    def afresh(self) -> Callable[[], "Subscription"]:
        """What makes one with the same id, filter and bounds; it keeps nothing of what came."""
        return partial(
            Subscription,
            self.id,
            self.filter,
            max_events=self._max_events,
            max_bytes=self._max_bytes,
            max_event_size=self._max_event_size,
        )

    @property
    def received(self) -> int:
        """EVENT messages so far."""
        return self._page.received

    def finish(self, outcome: Outcome) -> Reply:
        """Return the page, now that the request has ended."""
        self._page.outcome = outcome
        self._page.weight = self.weight
        return self._page

    def take_part(self) -> Reply:
        """Return what has come since the last call, for it to be stored; the page keeps the stamps of it."""
        page, (events, outside) = self._page, self._parted
        part = Reply(page.outcome, page.events[events:], page.outside[outside:], page.rejected, weight=self.weight)
        page.events[events:] = map(_stamp, part.events)
        page.outside[outside:] = map(_stamp, part.outside)
        page.rejected = []
        self._parted, self.weight = (len(page.events), len(page.outside)), 0
        return part

    def receive(self, raw: bytes) -> Meaning:
        """Take one message.

        Returns:
            An outcome if the request has ended; the message if it is for the connection to act on; else None.
        """
        return self.take(decoded(raw), raw)

    def take(self, message: Message | None, raw: bytes) -> Meaning:
        """Take one message that is decoded already, as `receive`."""
        self._page.bytes += len(raw)
        if self._page.bytes > self._max_bytes:
            return protocol_error(f"more than {self._max_bytes} bytes")
        if message is None:
            return self._receive_garbage(raw)
        if isinstance(message, EventMessage) and message.subscription in (self.id, None):
            return self._receive_event(message.decoded, raw)
        match message:
            case Eose(self.id, hint):
                return Outcome(Ending.EOSE, hint)
            case Closed(self.id, prefix, text):
                return Outcome(Ending.CLOSED, prefix=prefix, text=text)
        self._page.ignored += 1
        if self._page.ignored > MAX_IGNORED:
            return protocol_error(f"more than {MAX_IGNORED} messages that were not asked for", NOISE)
        if isinstance(message, Notice):
            self.notice = message.text
            self.notices += 1
        return message if isinstance(message, Notice | AuthChallenge | Ok) else None

    def _receive_event(self, decoded: object, raw: bytes) -> Outcome | None:
        self._page.received += 1
        if self._page.received > self._max_events:
            return protocol_error(f"more than {self._max_events} events")
        self.notice = None
        too_long = self._max_event_size is not None and len(raw) - self._envelope > self._max_event_size
        if too_long or decoded is CROWDED:
            self._refuse("too_large", raw)
            return None
        try:
            event = parse_event(decoded, raw, envelope=self._envelope)
        except EventError as exc:
            self._refuse(exc.reason, raw)
        else:
            if self._take(event):
                self.weight += weight(raw)
            else:
                self._reject(rejected("off_filter", raw))
        return None

    def _take(self, event: Event) -> bool:
        """Put a valid event where it belongs; False if it was not asked for."""
        if (event.id, event.sig) in self._seen:
            self._page.duplicates += 1
            return True
        if self.filter.matches(event):
            self._page.events.append(event)
        elif self.filter.matches_selection(event):
            self._page.outside.append(event)
        else:
            return False
        self._seen.add((event.id, event.sig))
        return True

    def _receive_garbage(self, raw: bytes) -> Outcome | None:
        self._page.garbage += 1
        if self._page.garbage > MAX_GARBAGE:
            return protocol_error(f"more than {MAX_GARBAGE} messages that are not NIP-01's", NOISE)
        self._reject(rejected("malformed", raw))
        return None

    def _refuse(self, reason: Rejection, raw: bytes) -> None:
        item = rejected(reason, raw)
        self._page.refused += 1
        self._page.refused_ids.add(hash(item.raw))
        if item.created_at is not None:
            self._page.rejected_at.append(item.created_at)
        self._reject(item)

    def _reject(self, item: Rejected) -> None:
        page = self._page
        page.rejected_counts[item.reason] += 1
        if self._rejected_kept < MAX_REJECTED_KEPT and self._raw_kept + len(item.raw) <= MAX_REJECTED_BYTES:
            self._rejected_kept += 1
            self._raw_kept += len(item.raw)
            self.weight += len(item.raw)
            page.rejected.append(item)


def _stamp(event: Event | Stamp) -> Stamp:
    return Stamp(event.id, event.created_at, event.kind, event.pubkey)


def decoded(raw: bytes) -> Message | None:
    """The message; None if it is not one of NIP-01's."""
    try:
        return parse_message(raw)
    except ProtocolError:
        return None


def protocol_error(text: str, prefix: str = "") -> Outcome:
    """Return the outcome for what no relay may do."""
    return Outcome(Ending.PROTOCOL_ERROR, prefix=prefix, text=text)
