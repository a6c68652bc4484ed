"""NIP-77 on a connection: what a relay holds is compared with what we hold, and no event is sent for that.

Theory of operation. `negentropy` decides what to say and what an answer proves; this module says it, listens and
watches the clock. It never raises for what a relay does: each way in which a talk can end is a `ReconcileEnding`.
Only FINISHED proves anything of the whole window. Silence is measured from answer to answer: what else a relay
sends buys it no time, and counts against the same bounds.

Who authenticates in the midst of a talk may be shown more from then on. What was compared before was the set for
anybody, and the talk begins once more.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.negentropy import LimitExceeded, NegentropyError, Reconciliation
from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.challenge import authenticate
from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.line import Line, new_id
from bigbrotr_dagster.nostr.request import AUTH_GRACE, VERDICT_GRACE
from bigbrotr_dagster.nostr.subscription import MAX_IGNORED
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.nostr.weight import PART

SILENCE = 10.0
"""Seconds that a relay has for each answer: some that do not know NIP-77 say nothing."""

MAX_BYTES = 32 * 1024 * 1024
"""Default of what may be received: 100,000 ids on either side, listed twice, take less."""

LONG = 50_000
"""Bytes of an answer that is worked on in a thread: the longest ones take a third of a second."""

_BEGINNING = 64
"""Bytes in which a message names its subscription."""

_TOO_MANY = re.compile(
    r"too[ _]many[ _](\w+[ _])?(results|events|records|items|ids|matches)"
    r"|(query|results?|filter|window|range|set)[ _](is[ _]|are[ _])?too[ _](big|large|broad|wide)",
    re.IGNORECASE,
)
"""strfry: "blocked: too many query results"; LocalRelay: "rate-limited: too many negentropy items"; NIP-77:
"blocked: this query is too big", once RESULTS_TOO_BIG."""

_IN_TIME = re.compile(r"\b(second|minute|hour|day)s?\b", re.IGNORECASE)
"""What is too many in some time is not too many at a time."""

_NAMES_NIP_77 = re.compile(r"\bneg(entropy|-open|-msg)?\b|\bunknown\b", re.IGNORECASE)
"""A NOTICE with such a word is an answer to us: "negentropy disabled", "unknown cmd", "too many NEG requests"."""


class ReconcileEnding(StrEnum):
    """The ways in which a reconciliation can end; only the first one proves anything."""

    FINISHED = "finished"
    TOO_MANY = "too_many"
    """The window holds more than the relay, or we (`LimitExceeded`), take at a time."""
    UNSUPPORTED = "unsupported"
    """A NOTICE or nothing in place of an answer, or any other refusal."""
    REFUSED = "refused"
    """The relay wants to know who we are, and we could not tell, or are not the one."""
    LIED = "lied"
    """The answers prove nothing (`NegentropyError`), or too much came, or for too long."""
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How a talk ended; what it brought is in the `Reconciliation` that it was had with.

    `text`: what the relay, the network or the error said, one safe line; empty where it finished. `bytes`: all
    that was received meanwhile, whatever it was. `rounds`: answers that were understood.
    """

    ending: ReconcileEnding
    text: str = ""
    bytes: int = 0
    rounds: int = 0


async def reconciled(line: Line, selection: Filter, reconciliation: Reconciliation, max_bytes: int) -> Reconciled:
    """Have the talk, for which `reconciliation` is new; the filter's `limit` is not sent.

    More than `max_bytes` bytes end it.
    """
    await line.close_subscriptions()  # what they would bring is not ours
    talk = _Talk(line, selection.narrowed(limit=None), reconciliation, max_bytes)
    alarm = asyncio.timeout(None)
    deadline = Deadline(alarm, silence=min(line.timeout, SILENCE), total=line.page_timeout)
    try:
        async with alarm:
            deadline.restore()
            end = await talk.have(deadline)
    except TimeoutError:
        end = talk.silence(deadline)
    except ConnectionClosed as exc:
        fault = line.fault()
        end = _End(ReconcileEnding.LIED, fault.text) if fault else _disconnected(line, exc)
    await talk.close()
    return Reconciled(end.ending, end.text, talk.bytes, talk.rounds)


@dataclass(frozen=True, slots=True)
class _End:
    ending: ReconcileEnding
    text: str = ""


def _disconnected(line: Line, exc: ConnectionClosed) -> _End:
    return _End(ReconcileEnding.DISCONNECTED, line.lost(exc).text)


class _Talk:
    """One talk under way. `bytes` and `rounds` as in `Reconciled`."""

    def __init__(self, line: Line, selection: Filter, reconciliation: Reconciliation, max_bytes: int) -> None:
        self.bytes = 0
        self.rounds = 0
        self._line = line
        self._authenticator = line.authenticator
        self._selection = selection
        self._reconciliation = reconciliation
        self._max_bytes = max_bytes
        self._id: str | None = None  # of what the relay may still think of as open
        self._ignored = 0
        self._most_late = line.late.weight + PART
        self._notice: str | None = None  # that no answer has followed
        self._unless_let_in: _End | None = None  # the end, if the relay does not accept who we are
        self._began_again = False

    async def have(self, deadline: Deadline) -> _End:
        """Go on until it has ended.

        Raises:
            ConnectionClosed: the connection ended before it.
            TimeoutError: the relay fell silent.
        """
        await self._open(self._reconciliation.open())
        while True:
            raw = await self._line.socket.receive()
            self.bytes += len(raw)
            if self.bytes > self._max_bytes:
                return _End(ReconcileEnding.LIED, f"more than {self._max_bytes} bytes")
            try:
                message = messages.parse_message(raw)
            except messages.ProtocolError as exc:
                if self._id and self._id.encode() in raw[:_BEGINNING]:
                    return _End(ReconcileEnding.LIED, safe_line(str(exc)))
                end = self._ignore()
            else:
                end = await self._take(message, raw, deadline)
            if end is not None:
                return end

    async def _take(self, message: messages.Message, raw: bytes, deadline: Deadline) -> _End | None:
        match message:
            case messages.NegMsg(self._id):
                return await self._answered(message, deadline)
            case messages.NegErr(self._id, prefix, text) | messages.Closed(self._id, prefix, text):
                self._id = None  # the relay has ended it
                return await self._refused(_judged(prefix, text), prefix, deadline)
        self._line.late.take(message, raw)
        match message:
            case messages.Notice(text) if self._unless_let_in is None:
                return await self._noticed(text, deadline) or self._ignore()
            case messages.AuthChallenge(challenge):
                await authenticate(self._line, challenge)
            case messages.Ok() if self._authenticator.receive(message):
                return await self._heed_verdict(message, deadline)
        return self._ignore()

    async def _answered(self, said: messages.NegMsg, deadline: Deadline) -> _End | None:
        try:
            message = await self._next(said.answer, deadline)
        except LimitExceeded as exc:
            ours = exc.limit in ("max_need", "max_have", "max_open")
            return _End(ReconcileEnding.TOO_MANY if ours else ReconcileEnding.LIED, safe_line(str(exc)))
        except NegentropyError as exc:
            return _End(ReconcileEnding.LIED, safe_line(str(exc)))
        self.rounds += 1
        self._notice = None
        if message is not None:
            deadline.restore()
            await self._line.socket.send(messages.neg_msg(said.subscription, message), text=True)
            return None
        end = _End(ReconcileEnding.FINISHED)
        if not (self._authenticator.is_waiting and self._may_begin_again()):
            return end
        await self.close()
        self._unless_let_in = end
        deadline.restore()
        deadline.shorten(VERDICT_GRACE)
        return None

    async def _next(self, answer: bytes, deadline: Deadline) -> bytes | None:
        """What we have to say to that; the time that it takes us to think is not the relay's."""
        if len(answer) <= LONG:
            return self._reconciliation.answered(answer)
        deadline.suspend()
        try:
            return await asyncio.to_thread(self._reconciliation.answered, answer)
        finally:
            deadline.resume()

    async def _refused(self, end: _End, prefix: str, deadline: Deadline) -> _End | None:
        if prefix != "auth-required" or not self._may_begin_again():
            return end
        self._unless_let_in = end
        if self._authenticator.accepted:
            await self._begin_again(deadline)
        else:
            deadline.restore()
            deadline.shorten(AUTH_GRACE)
        return None

    async def _noticed(self, text: str, deadline: Deadline) -> _End | None:
        """It names no subscription: it may be all the answer there is, or none."""
        prefix, rest = messages.split_prefix(text)
        end = _judged(prefix, rest)
        if end.ending is not ReconcileEnding.UNSUPPORTED or _NAMES_NIP_77.search(text):
            return await self._refused(end, prefix, deadline)
        self._notice = text
        deadline.shorten(self._line.grace)
        return None

    async def _heed_verdict(self, verdict: messages.Ok, deadline: Deadline) -> _End | None:
        if verdict.accepted and self._may_begin_again():
            await self._begin_again(deadline)
            return None
        end = self._unless_let_in
        if end is not None and end.ending is ReconcileEnding.REFUSED and verdict.text:
            return _End(end.ending, verdict.text)
        return end or self._ignore()

    def _may_begin_again(self) -> bool:
        return self._authenticator.able and not self._began_again

    async def _begin_again(self, deadline: Deadline) -> None:
        self._began_again = True
        self._unless_let_in = self._notice = None
        await self.close()
        deadline.restore()
        await self._open(self._reconciliation.again())

    def _ignore(self) -> _End | None:
        """Count what is no answer; there is an end to that, too."""
        self._ignored += 1
        if self._ignored > MAX_IGNORED or self._line.late.weight > self._most_late:
            return _End(ReconcileEnding.LIED, f"{self._ignored} messages that were not asked for")
        return None

    def silence(self, deadline: Deadline) -> _End:
        """What it means that nothing more has come."""
        fault = self._line.fault()
        if fault is not None:
            return _End(ReconcileEnding.LIED, fault.text)
        if self._unless_let_in is not None:
            return self._unless_let_in
        if self._notice is not None:
            return _End(ReconcileEnding.UNSUPPORTED, self._notice)
        endless = self.rounds and deadline.is_over
        ending = ReconcileEnding.LIED if endless else ReconcileEnding.UNSUPPORTED
        return _End(ending, deadline.outcome().text)

    async def _open(self, message: bytes) -> None:
        self._id = new_id()
        await self._line.socket.send(messages.neg_open(self._id, self._selection, message), text=True)

    async def close(self) -> None:
        """Tell the relay that it has ended, unless the relay has said so, or is gone."""
        id, self._id = self._id, None
        if id and self._line.is_open:
            with suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(self._line.timeout):
                    await self._line.socket.send(messages.neg_close(id), text=True)


def _judged(prefix: str, text: str) -> _End:
    """What a refusal means."""
    said = f"{prefix}: {text}" if prefix else text
    if prefix in ("auth-required", "restricted"):
        return _End(ReconcileEnding.REFUSED, said)
    if _TOO_MANY.search(text) and not _IN_TIME.search(text):
        return _End(ReconcileEnding.TOO_MANY, said)
    return _End(ReconcileEnding.UNSUPPORTED, said)
