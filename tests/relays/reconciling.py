"""Modes of the hostile relay that answer NIP-77: one honestly, the others not. Each goes together with others.

They are not among `MODES`: what is drawn there does not know NIP-77. `HostileRelay([MODES["cap-20"],
NEGENTROPY["hides-ids"]], seed)` pages honestly, and reconciles otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.intervals import Coverage
from tests.negentropy.relay_side import FINGERPRINT, ID_LIST, INFINITY, SKIP, Item, RelaySide, Sent, read, written
from tests.relays.hostile import DAY, FOREIGN, NOW, WHOLE, Body, Comparison, HostileRelay, Mode, Request, Session

FRAME = 60_000
"""Bytes of an answer."""

HUGE = 15_000
"""Ids: with them an answer is nearly as long as any may be."""


@dataclass(frozen=True)
class Negentropy(Mode):
    """Honest: what it compares is what its REQ shows. The modes below say where they are not."""

    def compare(self, relay: HostileRelay, session: Session, message: list[Any]) -> Body | None:
        label, subscription, *rest = message
        if label == "NEG-CLOSE":
            return self.closed(relay, session.comparisons.pop(subscription, None))
        if label == "NEG-OPEN":
            selection = Filter.from_dict(rest[0])
            request = Request(relay.requests + relay.comparisons, subscription, selection)
            refusal = relay.refusal(session, request) or self.refuses(relay, request)
            if refusal is not None:
                return [_refusal(subscription, refusal)]
            side = RelaySide(self.items(relay, session, selection), FRAME)
            session.comparisons[subscription] = Comparison(request, side)
        comparison = session.comparisons.get(subscription)
        if comparison is None:
            return [orjson.dumps(["NEG-ERR", subscription, "closed: unknown subscription handle"])]
        comparison.answers += 1
        return self.said(relay, comparison, bytes.fromhex(rest[-1]))

    def refuses(self, relay: HostileRelay, request: Request) -> list[object] | None:
        """As `admit`, but of a NEG-OPEN alone."""
        return None

    def items(self, relay: HostileRelay, session: Session, selection: Filter) -> list[Item]:
        """What is compared."""
        return [_item(held.created_at, held.id) for held in relay.shown(selection)]

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        """The next message of ours."""
        return comparison.side.answer(message)

    def said(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> Body:
        """What is sent in answer."""
        return [comparison.says(self.answer(relay, comparison, message))]

    def closed(self, relay: HostileRelay, comparison: Comparison | None) -> Body:
        """What is sent after a NEG-CLOSE; `comparison` is None if there was none."""
        return []


def _item(created_at: int, id: str) -> Item:
    return created_at, bytes.fromhex(id)


def _refusal(subscription: str, refusal: list[object]) -> bytes:
    label, *rest = refusal
    return orjson.dumps([label, *rest] if label == "NOTICE" else ["NEG-ERR", subscription, *rest])


def _lie(random: Random) -> bytes:
    return random.randbytes(16)


# -- what is compared --


@dataclass(frozen=True)
class HidesIds(Negentropy):
    """Every seventh event that its REQ shows has no place in what is compared."""

    def items(self, relay: HostileRelay, session: Session, selection: Filter) -> list[Item]:
        return [item for item in Negentropy.items(self, relay, session, selection) if item[1][0] % 7]


@dataclass(frozen=True)
class ClaimsIds(Negentropy):
    """Fifty ids more, of events that nobody has."""

    def warrants(self, relay: HostileRelay) -> Coverage:
        """Where what nobody has would lie, nobody knows."""
        return WHOLE

    def items(self, relay: HostileRelay, session: Session, selection: Filter) -> list[Item]:
        random = Random(relay.seed)
        claimed = [(NOW - random.randrange(400 * DAY), random.randbytes(32)) for _ in range(50)]
        since, until = selection.since or 0, NOW if selection.until is None else selection.until
        inside = [item for item in claimed if since <= item[0] <= until]
        return Negentropy.items(self, relay, session, selection) + inside


@dataclass(frozen=True)
class ForeignIds(Negentropy):
    """The ids of another relay's events, too."""

    def warrants(self, relay: HostileRelay) -> Coverage:
        """Where what nobody has would lie, nobody knows."""
        return WHOLE

    def items(self, relay: HostileRelay, session: Session, selection: Filter) -> list[Item]:
        foreign = [_item(event.created_at, event.id) for event in FOREIGN if selection.matches(event)]
        return Negentropy.items(self, relay, session, selection) + foreign


@dataclass(frozen=True)
class Changing(Negentropy):
    """Another tenth of the events is missing in each answer."""

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        some = [item for item in comparison.side.items if relay.random.random() < 0.9]
        return RelaySide(some, FRAME).answer(message)


@dataclass(frozen=True)
class AuthInBetween(Negentropy):
    """It asks who we are with its first answer; to others than members every third event is not compared."""

    def items(self, relay: HostileRelay, session: Session, selection: Filter) -> list[Item]:
        items = Negentropy.items(self, relay, session, selection)
        return items if session.member else [item for item in items if item[1][0] % 3]

    def said(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> Body:
        challenge = orjson.dumps(["AUTH", relay.challenge])
        return [challenge, *Negentropy.said(self, relay, comparison, message)]


# -- what is answered --


@dataclass(frozen=True)
class Lying(Negentropy):
    """Every fingerprint and every list is what we said: the sets are equal."""

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        return written(Sent(sent.upper, SKIP, b"") if sent.mode == FINGERPRINT else sent for sent in read(message))


@dataclass(frozen=True)
class Endless(Negentropy):
    """Fingerprints that nothing has."""

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        return written(Sent(sent.upper, FINGERPRINT, _lie(relay.random)) for sent in read(message))


@dataclass(frozen=True)
class HugeLists(Negentropy):
    """To the first of all that is asked, thousands of ids; the rest differs."""

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        said: list[Sent] = []
        since = 0
        for sent in read(message):
            is_wide = sent.upper[0] > since + 1  # the ids of one second have to lie between its bounds
            if sent.mode != SKIP and is_wide and not any(one.mode == ID_LIST for one in said):
                said.append(Sent(sent.upper, ID_LIST, [relay.random.randbytes(32) for _ in range(HUGE)]))
            else:
                said.append(Sent(sent.upper, FINGERPRINT, _lie(relay.random)))
            since = sent.upper[0]
        return written(said)


@dataclass(frozen=True)
class Altered(Negentropy):
    """An honest answer, of which something else is made."""

    change: Callable[[bytes], bytes]

    def answer(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> bytes:
        return self.change(Negentropy.answer(self, relay, comparison, message))


def _of_version_2(answer: bytes) -> bytes:
    return b"\x62" + answer[1:]


def _too_long(answer: bytes) -> bytes:
    return answer + bytes(500_000)


def _with_duplicates(answer: bytes) -> bytes:
    return written(
        Sent(sent.upper, ID_LIST, [id for id in sent.said for _ in range(2)])
        if isinstance(sent.said, list)
        else sent
        for sent in read(answer)
    )


def _unordered(answer: bytes) -> bytes:
    return written([Sent((5, b"\xff"), SKIP, b""), Sent((5, b"\x01"), SKIP, b""), *read(answer)])


# -- what is sent --


@dataclass(frozen=True)
class SaysMoreAfterClose(Negentropy):
    """What was closed is answered on and on."""

    def closed(self, relay: HostileRelay, comparison: Comparison | None) -> Body:
        if comparison is None:
            return []
        return [comparison.says(written([Sent(INFINITY, FINGERPRINT, _lie(relay.random))]))] * 3


@dataclass(frozen=True)
class Silent(Endless):
    """No answer after so many, which settle nothing."""

    answers: int = 0

    def said(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> Body:
        return Endless.said(self, relay, comparison, message) if comparison.answers <= self.answers else []


@dataclass(frozen=True)
class Floods(Negentropy):
    """Events that nobody asked for, in place of an answer."""

    times: int = 10_500

    def said(self, relay: HostileRelay, comparison: Comparison, message: bytes) -> Body:
        return [b'["EVENT","other",%s]' % FOREIGN[0].to_json()] * self.times


@dataclass(frozen=True)
class TooMany(Negentropy):
    """strfry's bound, but smaller."""

    most: int = 50

    def refuses(self, relay: HostileRelay, request: Request) -> list[object] | None:
        is_small = len(relay.shown(request.filter)) <= self.most
        return None if is_small else ["NEG-ERR", "blocked: too many query results", self.most]


@dataclass(frozen=True)
class Disabled(Negentropy):
    """strfry with `negentropy.enabled = false`."""

    def refuses(self, relay: HostileRelay, request: Request) -> list[object] | None:
        return ["NOTICE", "ERROR: bad msg: negentropy disabled"]


NEGENTROPY: dict[str, Negentropy] = {
    "negentropy": Negentropy(),
    "lying-fingerprints": Lying(),
    "hides-ids": HidesIds(),
    "endless-rounds": Endless(),
    "huge-id-lists": HugeLists(),
    "answer-too-long": Altered(_too_long),
    "claims-ids": ClaimsIds(),
    "wrong-version": Altered(_of_version_2),
    "says-more-after-close": SaysMoreAfterClose(),
    "changing-set": Changing(),
    "auth-in-between": AuthInBetween(),
    "silent-negentropy": Silent(),
    "silent-in-the-midst": Silent(1),
    "foreign-ids": ForeignIds(),
    "duplicate-ids": Altered(_with_duplicates),
    "unordered-bounds": Altered(_unordered),
    "too-many-results": TooMany(),
    "negentropy-disabled": Disabled(),
    "floods-events": Floods(),
}
