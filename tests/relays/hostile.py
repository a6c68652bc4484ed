"""A real relay on loopback that misbehaves on purpose; its modes are small, seeded, and can be combined.

Theory of operation. A REQ passes five steps, and a mode overrides those that it breaks:

    admit    may refuse the REQ outright
    bounds   which `since` and `until` are honoured
    choose   which of the matching events the answer holds, `size` being the relay's cap or the REQ's limit
    body     the messages of those events, and what is sent between them
    end      EOSE, or what stands in its place

What is said of NIP-77 goes to the mode that knows it (`tests/relays/reconciling.py`); without one it is unknown.

Each mode also knows what it makes impossible: `warrants` are the seconds that may rightly end up in a gap.
What the relay would give to a patient asker is the oracle's business (`tests/sync/oracle.py`).
"""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr.event import Event, event_from_json, verify_signature
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.keys import sign_event
from bigbrotr_dagster.windowing.cuts import CREDIBLE_CAP
from bigbrotr_dagster.windowing.intervals import Coverage
from tests.negentropy.relay_side import RelaySide
from tests.relays.distant import distant

DEFAULT_CAP = 100
WHOLE = Coverage.between(0, 2**40)
HOUR = 3600
DAY = 24 * HOUR
NOW = int(time.time())

MAX_EVENT_SIZE = 65_536
LARGE_BYTES = 70_000
"""Content above `MAX_EVENT_SIZE`, which the syncs are configured with."""

GIANT_BYTES = 2_200_000
"""Content above what a message may have."""

RESTRICTED_KINDS = frozenset({4, 1059})
RARE_KINDS = (4242, 31337, 61000)
"""No list of common kinds has them."""

_KEYS = [number.to_bytes(32, "big") for number in range(1, 1001)]
_KINDS = (*[1] * 50, *[7] * 20, *[6] * 8, *[0] * 5, *[3] * 4, *[9735] * 5, *[30023] * 3, *[10002] * 3, *[1111] * 2)

Body = list[bytes]


# -- what there is to hold: signed once per session --


def _signed(
    random: Random, created_at: int, kind: int | None = None, *, authors: int = 30, more: str = ""
) -> Event:
    if kind is None:
        kind = random.choice(RARE_KINDS) if random.random() < 0.02 else random.choice(_KINDS)
    content = f"{random.getrandbits(64):x}{more}"
    key = random.choice(_KEYS[:authors])
    return sign_event(key, created_at=created_at, kind=kind, tags=[], content=content, aux_randomness=bytes(32))


@cache
def everyday(cap: int) -> list[Event]:
    """Bursts over 400 days and a quiet last day, one second with a crowd: more than a page, yet not too many."""
    random = Random(1)
    bursts, size, crowd = (8, 8, 8) if cap == 1 else (50, 13, 40) if cap == 500 else (30, 13, 40)
    times = [NOW - 200 * DAY] * crowd
    for _ in range(bursts):
        start = NOW - 2 * DAY - random.randrange(400 * DAY)
        times += [start + int(random.expovariate(1 / 60)) for _ in range(size)]
    times += [NOW - random.randrange(HOUR, DAY) for _ in range(4 if cap == 1 else 40)]
    return [_signed(random, created_at) for created_at in times]


@cache
def calm(count: int) -> list[Event]:
    """No two events in the same second: what an honest relay costs."""
    random = Random(2)
    return [_signed(random, second) for second in random.sample(range(NOW - 400 * DAY, NOW - 2 * DAY), count)]


@cache
def crowded(count: int, authors: int) -> list[Event]:
    """`count` events of 15 kinds in one second, between a few others."""
    random = Random(3)
    second = NOW - 100 * DAY
    kinds = sorted({*_KINDS, 5, 16, 1984, 9802, 1063, 1311})
    crowd = [_signed(random, second, random.choice(kinds), authors=authors) for _ in range(count)]
    return crowd + [_signed(random, second + 1000 * step) for step in range(-50, 51) if step]


@cache
def restricted_blocks() -> list[Event]:
    """Gift wraps and direct messages: 250 newer than all else, 150 in the midst, 40 strewn."""
    random = Random(4)
    times = [NOW - 1000 + step for step in range(250)]
    times += [NOW - 150 * DAY + step for step in range(150)]
    times += [NOW - 2 * DAY - random.randrange(400 * DAY) for _ in range(40)]
    return [_signed(random, created_at, random.choice(sorted(RESTRICTED_KINDS))) for created_at in times]


@cache
def forged(part: str, count: int) -> list[Event]:
    """Events that nobody signed: `part` ("id" or "sig") is not what it should be."""
    random = Random(part)
    genuine = [_signed(random, NOW - 2 * DAY - random.randrange(400 * DAY)) for _ in range(count)]
    return [replace(event, **{part: _turned(getattr(event, part))}) for event in genuine]


def _turned(digits: str) -> str:
    return ("0" if digits[0] != "0" else "1") + digits[1:]


@cache
def large(size: int, count: int) -> list[Event]:
    random = Random(size)
    more = "x" * size
    return [_signed(random, NOW - DAY * random.randint(10, 300), 1, more=more) for _ in range(count)]


def _with(**changes: object) -> Callable[[Event], bytes]:
    return lambda event: orjson.dumps(orjson.loads(event.to_json()) | changes)


def _replaced(found: bytes, put: bytes) -> Callable[[Event], bytes]:
    return lambda event: event.to_json().replace(found, put, 1)


DAMAGES: dict[str, Sequence[Callable[[Event], bytes]]] = {
    "claiming": (
        _with(tags=[["expiration", 1234567890]]),
        _replaced(b'"content":"', rb'"content":"\ud800'),
        _replaced(b'"content":"', b'"content":"\xff\xfe'),
        _with(content=None),
        _with(pubkey={}),
        _replaced(b'"sig":', b'"signature":'),
        _replaced(b"}", b',"kind":2}'),
        _replaced(b"}", b""),
    ),
    "silent": (
        _with(created_at=None),
        lambda event: _replaced(b'"created_at":%d' % event.created_at, b'"created_at":"%d"' % event.created_at)(
            event
        ),
        _with(created_at=-1),
        lambda event: b"null",
        lambda event: b'{"id":"' + event.id.encode(),
    ),
    "lying": (_with(created_at=5), _with(created_at=NOW - 3 * DAY), _with(created_at=NOW + DAY)),
}
"""What is no event, with its second, without any, or with a wrong one."""


@cache
def damaged(damage: str) -> list[tuple[Event, bytes]]:
    """250 newer than all else, 150 in the midst, 40 strewn; each with what is sent in its place."""
    random = Random(damage)
    times = [NOW - 1000 + step for step in range(250)]
    times += [NOW - 150 * DAY + step for step in range(150)]
    times += [NOW - 2 * DAY - random.randrange(400 * DAY) for _ in range(40)]
    events = [_signed(random, created_at) for created_at in times]
    return [(event, random.choice(DAMAGES[damage])(event)) for event in events]


@cache
def far_future() -> list[Event]:
    random = Random(6)
    return [_signed(random, NOW + DAY * random.randint(2, 4000)) for _ in range(20)] + [_signed(random, 2**53)]


def arrivals() -> Iterator[Event]:
    """Every other one is new, the others were created within the last hours."""
    random = Random(7)
    while True:
        yield _signed(random, int(time.time()))
        yield _signed(random, int(time.time()) - random.randrange(5 * HOUR))


FOREIGN = [_signed(Random(number), NOW - number * DAY) for number in range(1, 21)]
"""Events that no relay here holds."""


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """An event as the relay has it; `genuine` unless its id or signature is wrong or it is too large.

    `known`: whether what the relay sends tells which event it should be.
    """

    created_at: int
    id: str
    event: Event = field(compare=False)
    raw: bytes = field(compare=False)
    genuine: bool = field(compare=False, default=True)
    known: bool = field(compare=False, default=True)


def held(event: Event, genuine: bool = True) -> Held:
    return Held(event.created_at, event.id, event, event.to_json(), genuine)


@dataclass(frozen=True, slots=True)
class Request:
    """One REQ or NEG-OPEN; `number` counts them from 1 over all connections."""

    number: int
    subscription: str
    filter: Filter

    def event(self, raw: bytes) -> bytes:
        return b'["EVENT","%s",%s]' % (self.subscription.encode(), raw)


@dataclass(slots=True)
class Comparison:
    """What a NEG-OPEN began; `answers` counts what was said to it."""

    request: Request
    side: RelaySide
    answers: int = 0

    def says(self, answer: bytes) -> bytes:
        return orjson.dumps(["NEG-MSG", self.request.subscription, answer.hex()])


@dataclass(slots=True)
class Session:
    """One connection."""

    sent: int = 0
    member: bool = False
    closed: set[str] = field(default_factory=set)
    sending: set[asyncio.Task[None]] = field(default_factory=set)
    comparisons: dict[str, Comparison] = field(default_factory=dict)


@dataclass(frozen=True)
class Mode:
    """Honest in every step; the modes below say where they are not.

    `own_cap`: with fewer pages than that brings, the mode would never show.
    """

    own_cap = DEFAULT_CAP

    def prepare(self, relay: "HostileRelay") -> None:
        """Change what the relay holds, before it is asked anything."""

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        """The refusal, without the subscription (["CLOSED", text] or ["NOTICE", text]); None admits."""
        return None

    def bounds(self, since: int, until: int) -> tuple[int, int]:
        return since, until

    def size(self, relay: "HostileRelay", size: int) -> int:
        return size

    def choose(self, relay: "HostileRelay", matching: list[Held], size: int) -> list[Held] | None:
        """Choose from what matches (newest first); None leaves it to the other modes."""
        return None

    def thin(self, page: list[Held]) -> list[Held]:
        """Take events away after they were counted."""
        return page

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        return messages

    def end(self, relay: "HostileRelay", request: Request) -> bytes | None:
        """What stands in place of EOSE (b"" is silence); None sends EOSE."""
        return None

    def compare(self, relay: "HostileRelay", session: Session, message: list[Any]) -> Body | None:
        """What is sent for a NEG-OPEN, NEG-MSG or NEG-CLOSE (NIP-77); None: the mode does not know it."""
        return None

    def warrants(self, relay: "HostileRelay") -> Coverage:
        """Seconds that may rightly be a gap because of this mode."""
        return Coverage()


# -- what an answer holds --


@dataclass(frozen=True)
class Cap(Mode):
    """Honest, `cap` events at a time."""

    cap: int


@dataclass(frozen=True)
class CapDrawn(Mode):
    """A cap drawn anew for every REQ."""

    least: int = 10
    most: int = 100

    def prepare(self, relay: "HostileRelay") -> None:
        relay.saturates_at = self.least

    def size(self, relay: "HostileRelay", size: int) -> int:
        return relay.random.randint(self.least, self.most)


@dataclass(frozen=True)
class OldestFirst(Mode):
    """Oldest first, and cut at the new end."""

    def choose(self, relay: "HostileRelay", matching: list[Held], size: int) -> list[Held] | None:
        return matching[::-1][:size]


@dataclass(frozen=True)
class RandomSubset(Mode):
    """Any of the matching events, though sent newest first."""

    def choose(self, relay: "HostileRelay", matching: list[Held], size: int) -> list[Held] | None:
        chosen = relay.random.sample(range(len(matching)), min(size, len(matching)))
        return [matching[index] for index in sorted(chosen)]


@dataclass(frozen=True)
class Shuffled(Mode):
    """The newest events, in any order."""

    def choose(self, relay: "HostileRelay", matching: list[Held], size: int) -> list[Held] | None:
        page = matching[:size]
        relay.random.shuffle(page)
        return page


@dataclass(frozen=True)
class Restricted(Mode):
    """strfry since 2026-07: events of some kinds are removed after the limit was counted."""

    def prepare(self, relay: "HostileRelay") -> None:
        relay.hold(held(event) for event in restricted_blocks())

    def thin(self, page: list[Held]) -> list[Held]:
        return [item for item in page if item.event.kind not in RESTRICTED_KINDS]

    def warrants(self, relay: "HostileRelay") -> Coverage:
        """Where a whole answer's worth of events in a row is removed, no answer can show that."""
        hidden = Coverage()
        run, below = 0, 0
        for item in relay.events:
            if item.event.kind in RESTRICTED_KINDS:
                run += 1
                continue
            if run >= relay.saturates_at:
                hidden |= Coverage.between(below + 1, item.created_at - 1)
            run, below = 0, item.created_at
        return hidden | Coverage.between(below + 1, 2**40) if run >= relay.saturates_at else hidden


# -- since and until --


@dataclass(frozen=True)
class UntilExclusive(Mode):
    def bounds(self, since: int, until: int) -> tuple[int, int]:
        return since, until - 1


@dataclass(frozen=True)
class SinceExclusive(Mode):
    def bounds(self, since: int, until: int) -> tuple[int, int]:
        return since + 1, until


@dataclass(frozen=True)
class IgnoresSince(Mode):
    def bounds(self, since: int, until: int) -> tuple[int, int]:
        return 0, until


@dataclass(frozen=True)
class IgnoresUntil(Mode):
    def bounds(self, since: int, until: int) -> tuple[int, int]:
        return since, 2**62

    def warrants(self, relay: "HostileRelay") -> Coverage:
        """Whatever the newest answer does not reach."""
        newest = relay.events[-relay.saturates_at :]  # if that is all, still nothing can show it
        return Coverage.between(0, newest[0].created_at)


# -- refusals --


@dataclass(frozen=True)
class RateLimitedEvery(Mode):
    every: int = 5
    own_cap = 20

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        return ["CLOSED", "rate-limited: slow down"] if request.number % self.every == 0 else None


@dataclass(frozen=True)
class AtMostPerSecond(Mode):
    most: int = 20
    own_cap = 20

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        now = time.monotonic()
        while relay.asked_at and relay.asked_at[0] < now - 1:
            relay.asked_at.popleft()
        relay.asked_at.append(now)
        return ["CLOSED", "rate-limited: too many requests"] if len(relay.asked_at) > self.most else None


@dataclass(frozen=True)
class AuthRequired(Mode):
    """Members only; with `admits` anybody who answers the challenge is one."""

    admits: bool

    def prepare(self, relay: "HostileRelay") -> None:
        relay.challenges = True
        relay.knows_us = self.admits

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        return None if session.member else ["CLOSED", "auth-required: members only"]

    def warrants(self, relay: "HostileRelay") -> Coverage:
        return Coverage() if self.admits else WHOLE


@dataclass(frozen=True)
class RefusesEverything(Mode):
    """No REQ without kinds, authors, ids or tags. That nothing is left of other kinds, nobody can prove."""

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        wanted = request.filter
        narrow = wanted.kinds is not None or wanted.authors is not None or wanted.ids is not None or wanted.tags
        return None if narrow else ["CLOSED", "blocked: the filter is too broad"]

    def warrants(self, relay: "HostileRelay") -> Coverage:
        return WHOLE


@dataclass(frozen=True)
class RefusesWideRanges(Mode):
    """chorus: a scrape is a REQ with a limit above 100 and a range of more than two hours."""

    def admit(self, relay: "HostileRelay", session: Session, request: Request) -> list[object] | None:
        wanted = request.filter
        since = wanted.since or 0
        until = NOW if wanted.until is None else wanted.until
        if (wanted.limit or 10_000) <= 100 or until - since <= 2 * HOUR:
            return None
        return ["CLOSED", "blocked: scrapes need a limit of at most 100, or a range of at most 7200 seconds"]


# -- endings --


@dataclass(frozen=True)
class ClosesAfter(Mode):
    """The connection is cut after so many events, whatever they belong to."""

    events: int = 60

    def prepare(self, relay: "HostileRelay") -> None:
        relay.closes_after = self.events
        relay.saturates_at = min(relay.saturates_at, self.events // 3)


@dataclass(frozen=True)
class SilentEvery(Mode):
    every: int = 7
    own_cap = 20

    def end(self, relay: "HostileRelay", request: Request) -> bytes | None:
        return b"" if request.number % self.every == 0 else None


@dataclass(frozen=True)
class NoticeEvery(Mode):
    """A NOTICE in place of EOSE; with `every=1` nothing can ever be proved."""

    every: int
    own_cap = 20

    def end(self, relay: "HostileRelay", request: Request) -> bytes | None:
        return b'["NOTICE","ERROR: could not finish"]' if request.number % self.every == 0 else None

    def warrants(self, relay: "HostileRelay") -> Coverage:
        return WHOLE if self.every == 1 else Coverage()


@dataclass(frozen=True)
class EarlyEose(Mode):
    """A proxy: EOSE at once, and the events, `delay` seconds later, when they have come from where they are.

    `heeds_close`: none of those are sent for a subscription that is closed by then.
    """

    delay: float = 0.0
    heeds_close: bool = False
    own_cap = 100


@dataclass(frozen=True)
class NothingBut(Mode):
    """In place of any answer, `times` a message that is none."""

    message: bytes
    times: int

    def warrants(self, relay: "HostileRelay") -> Coverage:
        return WHOLE


# -- what is held --


@dataclass(frozen=True)
class Crowded(Mode):
    """`events` in one second, of 15 kinds."""

    events: int
    authors: int
    cap: int

    def prepare(self, relay: "HostileRelay") -> None:
        relay.hold(held(event) for event in crowded(self.events, self.authors))
        if len(relay.modes) == 1:
            relay.fixed_budget = 66  # 60 for the crowd, the rest is for the others


@dataclass(frozen=True)
class Forged(Mode):
    """2% more events, with a wrong signature or a wrong id."""

    part: str

    def prepare(self, relay: "HostileRelay") -> None:
        count = max(3, len(relay.events) // 50)
        relay.hold(held(event, genuine=False) for event in forged(self.part, count))


@dataclass(frozen=True)
class Damaged(Mode):
    """What the relay sends for 440 of its events is none (see `DAMAGES`), though each takes room in an answer."""

    damage: str

    def prepare(self, relay: "HostileRelay") -> None:
        items = damaged(self.damage)
        relay.hold(Held(event.created_at, event.id, event, raw, False, False) for event, raw in items)

    def warrants(self, relay: "HostileRelay") -> Coverage:
        """Where few fill an answer and do not tell their second, it is not looked for for ever."""
        endless = self.damage != "claiming" and relay.saturates_at < CREDIBLE_CAP
        return Coverage.between(0, NOW) if endless else Coverage()


@dataclass(frozen=True)
class FarFuture(Mode):
    def prepare(self, relay: "HostileRelay") -> None:
        relay.hold(held(event) for event in far_future())


@dataclass(frozen=True)
class Giant(Mode):
    """One event is larger than any message that we take."""

    own_cap = 20

    def prepare(self, relay: "HostileRelay") -> None:
        relay.hold([held(large(GIANT_BYTES, 1)[0], genuine=False)])

    def warrants(self, relay: "HostileRelay") -> Coverage:
        """Its second; and without `since` no question about the seconds above it leaves it out.

        That goes up to the next newer event: whether that one is alone in its second, only an answer that holds
        the giant could tell.
        """
        second = large(GIANT_BYTES, 1)[0].created_at
        newer = relay.events[bisect_right(relay.events, second, key=_second)].created_at
        stuck = any(isinstance(mode, IgnoresSince) for mode in relay.modes)
        return Coverage.between(second - 1, max(second + 1, newer) if stuck else second + 1)


@dataclass(frozen=True)
class Arriving(Mode):
    """New and back-dated events come with every second REQ, until `stops_in_round`."""

    stops_in_round: int = 4
    own_cap = 20

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        if relay.round < self.stops_in_round and request.number % 2 == 0:
            relay.hold(held(next(relay.arrivals)) for _ in range(2))
        return messages


# -- what is sent between the events --


@dataclass(frozen=True)
class Duplicates(Mode):
    """Some events come twice, the second time somewhere after the first."""

    share: float = 0.3

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        sent: Body = []
        again: Body = []
        for message in messages:
            sent.append(message)
            if relay.random.random() < self.share:
                again.append(message)
            if again and relay.random.random() < 0.5:
                sent.append(again.pop(0))
        return sent + again


_GARBAGE = (
    b"no JSON",
    b"",
    b"[]",
    b'{"a":1}',
    b'"text"',
    b"17",
    b'["EVENT"]',
    b'["EOSE"]',
    b'["CLOSED"]',
    b'["UNKNOWN","SUB",1]',
    b'["EVENT","SUB",null]',
    b'["EVENT","SUB",{"id":1}]',
    b'["EVENT","SUB",{"id":"00","kind":1,"created_at":-1,"tags":[],"content":"","pubkey":"","sig":""}]',
    b"[" * 3000,
)


@dataclass(frozen=True)
class Garbage(Mode):
    """Malformed messages, events above `max_event_size`, and with every 9th REQ a message of 2.1 MiB."""

    share: float = 0.1
    own_cap = 20

    def prepare(self, relay: "HostileRelay") -> None:
        relay.hold(held(event, genuine=False) for event in large(LARGE_BYTES, 3))

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        count = sum(relay.random.random() < self.share for _ in range(len(messages) + 10))
        subscription = request.subscription.encode()
        garbage = [relay.random.choice(_GARBAGE).replace(b"SUB", subscription) for _ in range(count)]
        if request.number % 9 == 0:
            garbage.append(b'["NOTICE","' + b"x" * GIANT_BYTES + b'"]')
        return _mixed(relay.random, messages, garbage)


@dataclass(frozen=True)
class OtherSubscriptions(Mode):
    """Events, an EOSE and a CLOSED of subscriptions that are not ours."""

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        count = len(messages) // 6 + 1
        others = [b'["EVENT","other",%s]' % event.to_json() for event in relay.random.choices(FOREIGN, k=count)]
        return _mixed(relay.random, messages, [*others, b'["EOSE","other"]', b'["CLOSED","other","error: no"]'])


@dataclass(frozen=True)
class OutsideFilter(Mode):
    """Three events of the relay's that the REQ did not ask for, beside those that it did."""

    def body(self, relay: "HostileRelay", request: Request, messages: Body) -> Body:
        some = relay.random.sample(relay.events, min(12, len(relay.events)))
        outside = [request.event(item.raw) for item in some if not request.filter.matches(item.event)]
        return _mixed(relay.random, messages, outside[:3])


def _mixed(random: Random, messages: Body, more: Iterable[bytes]) -> Body:
    """`messages` in their order, with `more` strewn in."""
    mixed = [(position, message) for position, message in enumerate(messages)]
    mixed += [(random.randint(-1, len(messages)), message) for message in more]
    return [message for _, message in sorted(mixed, key=lambda pair: pair[0])]


# -- the relay --


@dataclass(slots=True)
class HostileRelay:
    """Holds `events` (ascending) and answers as its `modes` have it.

    `budget` is the number of REQs that a round may take; at twice that the relay answers no more, so that a client
    that loops is found out quickly. `comparisons`: NEG-OPENs, of all rounds. `saturates_at`: that many events of
    one second may be out of reach. `round_trip`: how far it is, in seconds.
    """

    modes: Sequence[Mode]
    seed: int
    events: list[Held] = field(default_factory=list)
    cap: int = DEFAULT_CAP
    saturates_at: int = DEFAULT_CAP
    random: Random = field(init=False)
    url: str = ""
    round: int = 0
    requests: int = 0
    comparisons: int = 0
    asked: list[int] = field(default_factory=list)
    events_sent: int = 0
    asked_at: deque[float] = field(default_factory=deque)
    arrivals: Iterator[Event] = field(default_factory=arrivals)
    closes_after: int | None = None
    challenges: bool = False
    knows_us: bool = True
    fixed_budget: int | None = None
    round_trip: float = 0.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        caps = [mode.cap for mode in self.modes if isinstance(mode, Cap | Crowded)]
        self.cap = self.saturates_at = min(caps or [mode.own_cap for mode in self.modes])
        self.events.sort()
        if not self.events and not any(isinstance(mode, Crowded) for mode in self.modes):
            self.hold(held(event) for event in everyday(self.cap))
        for mode in self.modes:
            mode.prepare(self)

    def hold(self, more: Iterable[Held]) -> None:
        self.events = sorted({item.id: item for item in (*self.events, *more)}.values())

    def begin_round(self) -> None:
        self.round += 1
        self.asked.append(0)

    @property
    def budget(self) -> int:
        """REQs that one round may take: 40 times what an honest relay needs, and 60."""
        return self.fixed_budget or 40 * (len(self.events) // self.saturates_at + 1) + 60

    async def serve(self, socket: ServerConnection) -> None:
        session = Session()
        try:
            if self.challenges:
                await _send(socket, ["AUTH", self.challenge])
            async for raw in socket:
                message = orjson.loads(raw)
                if message[0] == "REQ":
                    await self._request(socket, session, message)
                elif message[0] in ("NEG-OPEN", "NEG-MSG", "NEG-CLOSE"):
                    await self._compare(socket, session, message)
                elif message[0] == "CLOSE":
                    session.closed.add(str(message[1]))
                elif message[0] == "AUTH":
                    session.member = self.knows_us and self._is_answer(event_from_json(orjson.dumps(message[1])))
                    await _send(socket, ["OK", message[1]["id"], session.member, "" if session.member else "no"])
        except ConnectionClosed:
            pass  # the client left in the middle of an answer
        finally:
            for task in session.sending:
                task.cancel()

    def _is_answer(self, event: Event) -> bool:
        """NIP-42: signed, and to our challenge."""
        return event.kind == 22242 and ["challenge", self.challenge] in event.tags and verify_signature(event)

    @property
    def challenge(self) -> str:
        return f"challenge {self.seed}"

    async def _request(self, socket: ServerConnection, session: Session, message: list[object]) -> None:
        self.requests += 1
        self.asked[-1] += 1
        if self.asked[-1] > 2 * self.budget:
            socket.transport.abort()
            return
        if await self._sends_nothing_else(socket):
            return
        request = Request(self.requests, str(message[1]), Filter.from_dict(message[2]))
        refusal = self.refusal(session, request)
        if refusal is not None:
            label, text = refusal
            await _send(socket, [label, request.subscription, text] if label == "CLOSED" else [label, text])
            return
        await self._answer(socket, session, request)

    async def _sends_nothing_else(self, socket: ServerConnection) -> bool:
        for mode in self.modes:
            if isinstance(mode, NothingBut):
                for _ in range(mode.times):
                    await socket.send(mode.message, text=True)
                return True
        return False

    def refusal(self, session: Session, request: Request) -> list[object] | None:
        """As `Mode.admit`, by any of the modes."""
        refusals = (mode.admit(self, session, request) for mode in self.modes)
        return next((refusal for refusal in refusals if refusal is not None), None)

    async def _compare(self, socket: ServerConnection, session: Session, message: list[Any]) -> None:
        is_new = message[0] == "NEG-OPEN"
        self.comparisons += is_new
        if is_new and await self._sends_nothing_else(socket):
            return
        bodies = (mode.compare(self, session, message) for mode in self.modes)
        unknown: Body = [b'["NOTICE","ERROR: bad msg: unknown cmd"]'] if is_new else []
        for said in next((body for body in bodies if body is not None), unknown):
            await socket.send(said, text=True)

    def shown(self, wanted: Filter) -> list[Held]:
        """All that a patient asker is shown, newest first."""
        matching = self._matching(wanted)
        for mode in self.modes:
            matching = mode.thin(matching)
        return matching

    async def _answer(self, socket: ServerConnection, session: Session, request: Request) -> None:
        body = [request.event(item.raw) for item in self._page(request.filter)]
        for mode in self.modes:
            body = mode.body(self, request, body)
        early = next((mode for mode in self.modes if isinstance(mode, EarlyEose)), None)
        if early is None:
            if await self._send_body(socket, session, body):
                await self._send_end(socket, request)
            return
        await self._send_end(socket, request)
        task = asyncio.create_task(self._send_late(socket, session, request, body, early))
        session.sending.add(task)
        if not early.delay:
            await task

    async def _send_late(
        self, socket: ServerConnection, session: Session, request: Request, body: Body, early: EarlyEose
    ) -> None:
        await asyncio.sleep(early.delay)
        if not (early.heeds_close and request.subscription in session.closed):
            with suppress(ConnectionClosed):
                await self._send_body(socket, session, body)

    async def _send_body(self, socket: ServerConnection, session: Session, body: Body) -> bool:
        """Returns whether the connection outlived it."""
        for message in body:
            is_event = message.startswith(b'["EVENT",')
            if is_event and self.closes_after is not None and session.sent >= self.closes_after:
                socket.transport.abort()
                return False
            await socket.send(message, text=True)
            session.sent += is_event
            self.events_sent += is_event
        return True

    async def _send_end(self, socket: ServerConnection, request: Request) -> None:
        ends = [mode.end(self, request) for mode in self.modes]
        said = [end for end in ends if end is not None]
        if not said:
            await _send(socket, ["EOSE", request.subscription])
        elif said[0]:
            await socket.send(said[0], text=True)

    def _page(self, wanted: Filter) -> list[Held]:
        matching = self._matching(wanted)
        size = self.cap
        for mode in self.modes:
            size = mode.size(self, size)
        size = size if wanted.limit is None else min(size, wanted.limit)
        choices = [mode.choose(self, matching, size) for mode in self.modes]
        page = next((choice for choice in choices if choice is not None), matching[:size])
        for mode in self.modes:
            page = mode.thin(page)
        return page

    def _matching(self, wanted: Filter) -> list[Held]:
        """Newest first, ties by lowest id (NIP-01)."""
        since, until = wanted.since or 0, 2**62 if wanted.until is None else wanted.until
        for mode in self.modes:
            since, until = mode.bounds(since, until)
        start = bisect_left(self.events, since, key=_second)
        end = bisect_right(self.events, until, key=_second)
        others = replace(wanted, since=None, until=None, limit=None)
        found = [item for item in self.events[start:end] if others.matches_selection(item.event)]
        return sorted(found, key=lambda item: (-item.created_at, item.id))


def _second(item: Held) -> int:
    return item.created_at


async def _send(socket: ServerConnection, message: list[object]) -> None:
    await socket.send(orjson.dumps(message), text=True)


@asynccontextmanager
async def hostile(relay: HostileRelay) -> AsyncIterator[HostileRelay]:
    """The relay, running; its `url` is set."""
    async with serve(
        relay.serve, "127.0.0.1", 0, compression=None, close_timeout=0.1, max_size=2**24, ping_interval=None
    ) as server:
        near = next(iter(server.sockets)).getsockname()[1]
        async with distant(near, relay.round_trip) if relay.round_trip else nullcontext(near) as port:
            # Ports come again, and an archive knows its relays by URL.
            relay.url = f"ws://127.0.0.1:{port}/{relay.seed}"
            yield relay


MODES: dict[str, Mode] = {
    "cap-500": Cap(500),
    "cap-100": Cap(100),
    "cap-20": Cap(20),
    "cap-1": Cap(1),
    "cap-drawn": CapDrawn(),
    "oldest-first": OldestFirst(),
    "random-subset": RandomSubset(),
    "random-order": Shuffled(),
    "until-exclusive": UntilExclusive(),
    "since-exclusive": SinceExclusive(),
    "ignores-since": IgnoresSince(),
    "ignores-until": IgnoresUntil(),
    "rate-limited-every-5th": RateLimitedEvery(),
    "at-most-20-a-second": AtMostPerSecond(),
    "closes-after-60-events": ClosesAfter(),
    "silent-every-7th": SilentEvery(),
    "notice-every-4th": NoticeEvery(4),
    "notice-always": NoticeEvery(1),
    "early-eose": EarlyEose(),
    "early-eose-0.3": EarlyEose(0.3),
    "early-eose-0.3-heeds-close": EarlyEose(0.3, heeds_close=True),
    "nothing-but-garbage": NothingBut(b'{"a":1}', 1_100),
    "nothing-but-notices": NothingBut(b'["NOTICE","buy our archive"]', 10_100),
    "nothing-but-auth": NothingBut(b'["AUTH","%s"]' % (b"x" * 900), 10_100),
    "auth-with-our-key": AuthRequired(admits=True),
    "auth-without-key": AuthRequired(admits=False),
    "refuses-empty-filter": RefusesEverything(),
    "refuses-wide-ranges": RefusesWideRanges(),
    "restricted-kinds": Restricted(),
    "crowded-second": Crowded(3000, 1000, 500),
    "duplicates": Duplicates(),
    "bad-signatures": Forged("sig"),
    "wrong-ids": Forged("id"),
    "garbage": Garbage(),
    "damaged-events": Damaged("claiming"),
    "damaged-without-seconds": Damaged("silent"),
    "damaged-with-wrong-seconds": Damaged("lying"),
    "other-subscriptions": OtherSubscriptions(),
    "outside-filter": OutsideFilter(),
    "far-future": FarFuture(),
    "arriving": Arriving(),
    "giant-event": Giant(),
}
