"""One conversation with a relay: requests go out, and their replies come in the order in which it ends them.

Theory of operation. `Subscription` decides what a message is, `Request` what it means; this module sends, receives
and watches the clock. A request never raises for what a relay does: refusal, silence, a drop and nonsense are all
outcomes, and what arrived before them is in the reply. Three clocks bound it: `timeout` seconds without a message;
a shorter grace after a NOTICE, which names no subscription and may be all the answer there is; and `page_timeout`
seconds over all, against a relay that drips. They start again with each reply that is waited for: the time in
which a caller settles one is not the relay's.
"""

import asyncio
from collections import deque
from contextlib import nullcontext, suppress
from itertools import count
from time import monotonic
from typing import Self

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.challenge import authenticate
from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.intake import Intake, Parts
from bigbrotr_dagster.nostr.line import Line, new_id
from bigbrotr_dagster.nostr.request import AT_ONCE, AfterEose, Again, LoneRequest, Request
from bigbrotr_dagster.nostr.subscription import Meaning, Reply, decoded
from bigbrotr_dagster.windowing.outcome import Outcome


class Conversation:
    """Asks a relay, and gives its replies.

    `ask` for something, then take `async for number, reply in conversation`; more may be asked for meanwhile.

    `alone`: one request at a time, which is judged by all that the relay says. Otherwise several may be under way,
    for a relay that is far: their answers come mixed, and the way there is gone once. What does not end with EOSE
    then says nothing of the relay, and is to be asked again alone.

    While any is under way, nobody else has the connection. `intake` takes what is too much to be kept until the
    end.
    """

    def __init__(self, line: Line, intake: Intake | None, *, alone: bool) -> None:
        self._line = line
        self._parts = Parts(intake, line.late)
        self._alone = alone
        self._numbers = count()
        self._asked: list[Request] = []  # not sent yet
        self._open: dict[str, Request] = {}  # by subscription id
        self._ended: deque[tuple[Request, Outcome]] = deque()
        self._has_begun = False
        self._has_turn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_turn_back()

    def ask(
        self,
        selection: Filter,
        *,
        max_events: int,
        max_bytes: int,
        after_eose: AfterEose = AT_ONCE,
        stay_open: bool = False,
    ) -> int:
        """Have one REQ sent as soon as a reply is waited for; returns its number: 0, 1, ...

        More than `max_events` events or `max_bytes` bytes end it as a protocol error. What follows is for one that
        is alone: `after_eose` tells what may come after its EOSE. The relay's subscription is closed unless the
        relay has ended it, or it is to `stay_open` after an EOSE with nothing before it: then the next ones close
        it.
        """
        number, subscription = next(self._numbers), self._line.subscription(selection, max_events, max_bytes)
        self._asked.append(
            LoneRequest(number, subscription, self._line, after_eose, stay_open=stay_open)
            if self._alone
            else Request(number, subscription)
        )
        return number

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, Reply]:
        """Wait for the next reply; returns it with the number of its request.

        If the connection fails or falls silent, that is the outcome of all that are under way.

        Raises:
            StopAsyncIteration: nothing is under way.
        """
        if not (self._asked or self._open or self._ended):
            raise StopAsyncIteration
        await self._take_turn()
        if not self._ended:
            await self._wait()
        request, outcome = self._ended.popleft()
        await self._line.ended(request.subscription, outcome, stay_open=request.stay_open)
        if not (self._open or self._ended):
            self._give_turn_back()
        return request.number, request.finish(outcome)

    async def _take_turn(self) -> None:
        if not self._has_turn:
            await self._line.turn.acquire()
            self._has_turn = True
            if not self._alone:
                await self._line.close_subscriptions()

    def _give_turn_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._line.turn.release()

    async def _wait(self) -> None:
        """Go on until one has ended, or all that are under way."""
        line = self._line
        alarm = asyncio.timeout(None)
        deadline = Deadline(alarm, silence=line.timeout, total=line.page_timeout)
        try:
            async with alarm:
                deadline.restore()
                request, outcome = await self._listen(deadline)
        except TimeoutError:
            first = next(iter(self._open.values()))
            self._end_all(line.fault() or first.silence() or deadline.outcome())
        except ConnectionClosed as exc:
            self._end_all(line.lost(exc))
        else:
            self._ended.append((request, outcome))
            del self._open[request.subscription.id]

    def _end_all(self, outcome: Outcome) -> None:
        self._ended.extend((request, outcome) for request in self._open.values())
        self._open.clear()

    async def _listen(self, deadline: Deadline) -> tuple[Request, Outcome]:
        """Send what was asked, and take what comes until a request has ended.

        Raises:
            ConnectionClosed: the connection ended before it.
            TimeoutError: the relay fell silent.
        """
        parts, receive = self._parts, self._line.socket.receive
        sent = await self._send_asked()
        raw = await receive()
        for request in sent:
            request.waited = monotonic() - request.asked_at
        while True:
            if parts.are_large(raw):
                requests = [request.subscription for request in self._open.values()]
                async with parts.room_for(raw, requests, deadline):
                    request, meaning = self._take(raw)
                    await parts.hand_over([request.subscription], deadline)
            else:
                request, meaning = self._take(raw)
                if parts.are_due(request.subscription.weight * len(self._open)):
                    await parts.hand_over([request.subscription], deadline)
            if meaning is None:
                outcome = request.heard(deadline)
            else:
                outcome = await self._heed(request, meaning, deadline)
            if outcome is not None:
                return request, outcome
            raw = await receive()

    def _take(self, raw: bytes) -> tuple[Request, Meaning]:
        """Give a message to whom it is for; what concerns none of them counts against the bounds of the first."""
        message = decoded(raw)
        request = self._open.get(getattr(message, "subscription", ""))
        if request is None:
            request = next(iter(self._open.values()))
            self._line.late.take(message, raw)
        return request, request.subscription.take(message, raw)

    async def _heed(self, request: Request, meaning: Meaning, deadline: Deadline) -> Outcome | None:
        if isinstance(meaning, messages.AuthChallenge):
            await authenticate(self._line, meaning.challenge)
        judged = request.judge(meaning, deadline)
        if isinstance(judged, Again):
            await self._ask_again(request, judged, deadline)
            return None
        return judged

    async def _send_asked(self) -> list[Request]:
        """Send what was asked since the last time; returns that.

        But for the first ones, it is not sent on a socket that closes: what has come by then is still to be read.
        """
        sent, self._asked = self._asked, []
        asked_at = monotonic()
        for request in sent:
            request.asked_at = asked_at
            self._open[request.subscription.id] = request
        is_first, self._has_begun = not self._has_begun, True
        if is_first or self._line.is_open:
            with nullcontext() if is_first else suppress(ConnectionClosed):
                for request in sent:
                    await self._send_req(request)
        return sent

    async def _ask_again(self, request: Request, how: Again, deadline: Deadline) -> None:
        subscription = request.subscription
        if how is Again.AFTER_CLOSE:
            await self._line.socket.send(messages.close(subscription.id), text=True)
        del self._open[subscription.id]
        subscription.reopen(new_id())
        self._open[subscription.id] = request
        deadline.restore()
        await self._send_req(request)

    async def _send_req(self, request: Request) -> None:
        subscription = request.subscription
        await self._line.socket.send(messages.req(subscription.id, subscription.filter), text=True)
