"""The dialogue of requests: what is sent, and who takes which answer. `connection.py` watches the clock."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.auth import Authenticator
from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.intake import Intake, Parts
from bigbrotr_dagster.nostr.late import EndedSubscriptions
from bigbrotr_dagster.nostr.messages import EventMessage
from bigbrotr_dagster.nostr.relay_socket import RelaySocket
from bigbrotr_dagster.nostr.subscription import Meaning, Subscription, decoded
from bigbrotr_dagster.nostr.weight import PART
from bigbrotr_dagster.windowing.outcome import Ending, Outcome

AUTH_GRACE = 10.0
"""Seconds that a relay has to challenge us and accept our answer, once it has asked for authentication."""


VERDICT_GRACE = 3.0
"""Seconds that it has to accept our answer, where it has not asked for that: it may have kept something back."""


@dataclass(frozen=True, slots=True)
class AfterEose:
    """What an EOSE is worth: the end is `seconds` without an event after it, or that `enough` events have come."""

    seconds: float = 0.0
    enough: int = 0


class Exchange:
    """One request's dialogue: the REQ, its answers, and authentication where the relay wants it first.

    `grace`: seconds that the relay has after a NOTICE. What is for none of its messages goes to `ended`.
    """

    def __init__(
        self,
        socket: RelaySocket,
        subscription: Subscription,
        authenticator: Authenticator,
        grace: float,
        ended: EndedSubscriptions,
        after_eose: AfterEose,
        intake: Intake | None,
    ) -> None:
        self._socket = socket
        self._subscription = subscription
        self._parts = Parts(intake, ended)
        self._authenticator = authenticator
        self._grace = grace
        self._ended = ended
        self._after_eose = after_eose
        self._eose: Outcome | None = None  # which came, while events are waited for
        self._heard_at = 0.0  # that EOSE, or the last event after it
        self._answer_to_anybody: Outcome | None = None  # EOSE, before the relay knew who asks
        self._refusal: Outcome | None = None  # CLOSED auth-required: waiting for the OK to ask again
        self.asked_again = False
        """After the relay knew who asks."""
        self.waited = 0.0
        """Seconds until the relay said anything."""
        self.late = 0
        """Events after the EOSE, as in `Reply`."""
        self.longest_silence = 0.0

    async def run(self, deadline: Deadline) -> Outcome:
        """Ask, and return how the request ended.

        Raises:
            ConnectionClosed: the connection ended before it.
            TimeoutError: the relay fell silent; `silence` says what that means.
        """
        deadline.restore()
        asked_at = monotonic()
        await self._ask()
        subscription, socket = self._subscription, self._socket
        raw = await socket.receive()
        self.waited = monotonic() - asked_at
        while True:
            if self._parts.are_large(raw):
                async with self._parts.room_for(raw, [subscription], deadline):
                    step, is_ours = self._take(raw)
                    await self._parts.hand_over([subscription], deadline)
            else:
                step, is_ours = self._take(raw)
                if self._parts.are_due(subscription.weight):
                    await self._parts.hand_over([subscription], deadline)
            if step is not None:
                outcome = await self._act(step, deadline)
                if outcome is not None:
                    return outcome
            elif self._eose is not None:
                if is_ours and self._is_enough(deadline):
                    return self._eose
            elif not self._on_grace:
                deadline.heard()
            raw = await socket.receive()

    def _take(self, raw: bytes) -> tuple[Meaning, bool]:
        """Take a message; returns what it means, and whether it is an event that was asked for."""
        message = decoded(raw)
        is_ours = False
        if isinstance(message, EventMessage):
            is_ours = message.subscription in (self._subscription.id, None)
            if not is_ours:
                self._ended.take(message, raw)
        return self._subscription.take(message, raw), is_ours

    def _is_enough(self, deadline: Deadline) -> bool:
        """Take note of an event after the EOSE; more of them are waited for unless that is enough."""
        now = monotonic()
        self.late += 1
        self.longest_silence = max(self.longest_silence, now - self._heard_at)
        self._heard_at = now
        deadline.again()
        return self._subscription.received >= self._after_eose.enough

    def silence(self) -> Outcome | None:
        """Return what silence means, where it means more than itself."""
        if self._eose is not None:
            return self._eose
        if self._refusal is not None or self._answer_to_anybody is not None:
            return self._refusal or self._answer_to_anybody
        if self._subscription.notice is not None:
            return Outcome(Ending.NOTICE, text=self._subscription.notice)
        return None

    @property
    def _on_grace(self) -> bool:
        """Whether the relay is in the short time after a NOTICE or a demand for authentication."""
        held = (self._refusal, self._answer_to_anybody, self._subscription.notice)
        return any(each is not None for each in held)

    async def _act(
        self, step: Outcome | messages.Notice | messages.AuthChallenge | messages.Ok, deadline: Deadline
    ) -> Outcome | None:
        match step:
            case Outcome(Ending.EOSE) if self._eose is not None:
                return None  # a second one says no more than the first
            case Outcome(Ending.CLOSED) if self._eose is not None:
                return self._eose
            case messages.Notice() if self._eose is not None:
                return None
            case messages.Notice():
                deadline.shorten(self._grace)
            case messages.AuthChallenge(challenge):
                await authenticate(self._socket, self._authenticator, challenge)
            case messages.Ok() if self._authenticator.receive(step):
                return await self._heed_verdict(step, deadline)
            case Outcome(Ending.EOSE) if self._authenticator.is_waiting and self._may_ask_again():
                self._answer_to_anybody = step
                deadline.shorten(VERDICT_GRACE)
            case Outcome(Ending.CLOSED, prefix="auth-required") if self._may_ask_again():
                self._refusal = step
                deadline.shorten(AUTH_GRACE)
                if self._authenticator.accepted:
                    await self._ask_again(deadline)
            case Outcome(Ending.EOSE) if self._subscription.received < self._after_eose.enough:
                self._eose, self._heard_at = step, monotonic()
                deadline.shorten(self._after_eose.seconds)
            case Outcome():
                return step
        return None

    async def _heed_verdict(self, verdict: messages.Ok, deadline: Deadline) -> Outcome | None:
        """The relay knows who asks, or will not: what it has answered until now, it answered anybody."""
        if verdict.accepted and self._may_ask_again():
            if self._refusal is None and self._answer_to_anybody is None:
                await self._socket.send(messages.close(self._subscription.id), text=True)
            await self._ask_again(deadline)
        elif self._refusal is not None:
            return Outcome(Ending.CLOSED, prefix=self._refusal.prefix, text=verdict.text)
        return self._answer_to_anybody

    def _may_ask_again(self) -> bool:
        return self._authenticator.able and not self.asked_again

    async def _ask_again(self, deadline: Deadline) -> None:
        self.asked_again = True
        self._refusal = self._answer_to_anybody = None
        self._subscription.reopen(new_id())
        deadline.restore()
        await self._ask()

    async def _ask(self) -> None:
        subscription = self._subscription
        await self._socket.send(messages.req(subscription.id, subscription.filter), text=True)


Ended = Callable[[Subscription, Outcome], Awaitable[Sequence[Subscription]]]
"""Told of a request that has ended; returns those to send in its place."""


class SideBySide:
    """Several requests at once, for a relay that is far; when one ends, others take its place.

    It knows no way out of trouble: what does not end with EOSE is to be asked again alone, and judged then.
    """

    def __init__(
        self,
        socket: RelaySocket,
        subscriptions: Sequence[Subscription],
        authenticator: Authenticator,
        on_end: Ended,
        ended: EndedSubscriptions,
        intake: Intake | None,
    ) -> None:
        self._socket = socket
        self._parts = Parts(intake, ended)
        self._authenticator = authenticator
        self._on_end = on_end
        self._ended = ended
        self.open = {subscription.id: subscription for subscription in subscriptions}
        """The requests that have not ended, by subscription id."""

    async def run(self, deadline: Deadline) -> Outcome:
        """Return once all have ended, how the last one did."""
        deadline.restore()
        await self._ask(self.open.values())
        while True:
            raw = await self._socket.receive()
            if self._parts.are_large(raw):
                async with self._parts.room_for(raw, self.open.values(), deadline):
                    taker, step = self._take(raw)
                    await self._parts.hand_over([taker], deadline)
            else:
                taker, step = self._take(raw)
                if self._parts.are_due(taker.weight * len(self.open)):
                    await self._parts.hand_over([taker], deadline)
            if isinstance(step, Outcome):
                await self._end(taker, step, deadline)
                if not self.open:
                    return step
            elif isinstance(step, messages.AuthChallenge):
                await authenticate(self._socket, self._authenticator, step.challenge)
            deadline.heard()

    def _take(self, raw: bytes) -> tuple[Subscription, Meaning]:
        message = decoded(raw)
        # What concerns none of them counts against the bounds of the first.
        taker = self.open.get(getattr(message, "subscription", ""))
        if taker is None:
            taker = next(iter(self.open.values()))
            self._ended.take(message, raw)
        return taker, taker.take(message, raw)

    async def _end(self, subscription: Subscription, outcome: Outcome, deadline: Deadline) -> None:
        del self.open[subscription.id]
        deadline.suspend()
        more = await self._on_end(subscription, outcome)
        deadline.renew()
        self.open |= {each.id: each for each in more}
        if self._socket.state is not State.OPEN:
            return  # what has come by then is still to be read
        with suppress(ConnectionClosed):
            if outcome.ending is not Ending.CLOSED:
                await self._socket.send(messages.close(subscription.id), text=True)
            await self._ask(more)

    async def _ask(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            await self._socket.send(messages.req(subscription.id, subscription.filter), text=True)


async def authenticate(socket: RelaySocket, authenticator: Authenticator, challenge: str) -> None:
    """Answer a challenge (NIP-42), if we can."""
    answer = authenticator.answer(challenge)
    if answer is not None:
        await socket.send(messages.auth(answer), text=True)


async def introduce(socket: RelaySocket, authenticator: Authenticator, within: float) -> None:
    """Answer the challenge of a relay that sends it at once, so that the first REQ is answered to whom we are.

    Relays that do not, answer at least a ping. If nothing comes `within` so many seconds, nothing is made of it.
    """
    with suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(within):
            await (await socket.ping())
            for raw in socket.left():
                match decoded(raw):
                    case messages.AuthChallenge(challenge):
                        await authenticate(socket, authenticator, challenge)
            while authenticator.is_waiting:
                match decoded(await socket.receive()):
                    case messages.Ok() as verdict:
                        authenticator.receive(verdict)


async def counted(
    socket: RelaySocket, authenticator: Authenticator, id: str, ended: EndedSubscriptions
) -> int | None:
    """What the relay answers to the COUNT with this id; None if it does not say. It may never answer.

    None as well where it sends more beside that than is to be kept.
    """
    while ended.weight <= PART:
        raw = await socket.receive()
        message = decoded(raw)
        match message:
            case messages.Count(subscription, events) if subscription == id:
                return events
            case messages.Closed(subscription=subscription) if subscription == id:
                return None
            case messages.Notice():  # most likely: "unknown command"
                return None
            case messages.AuthChallenge(challenge):
                await authenticate(socket, authenticator, challenge)
            case _:
                ended.take(message, raw)
    return None


def new_id() -> str:
    """A subscription id that no other request has."""
    return secrets.token_hex(8)
