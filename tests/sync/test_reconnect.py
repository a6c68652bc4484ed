"""A relay that was there a moment ago is waited for; a dead one, and a silent one, cost no more than they must."""

import asyncio
import http
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.windowing.conduct import RESTART_SECONDS
from tests.nostr.helpers import signed, tcp_server
from tests.ports import free_port
from tests.relays.scripted import Messages, ScriptedRelay
from tests.sync.helpers import ask, config, stored_ids

EVENTS = [signed(number) for number in range(1_000, 1_100)]
ALL = {event.id for event in EVENTS}


class Program:
    """A relay's program, that can end and begin again on its port."""

    def __init__(self) -> None:
        self.relay = ScriptedRelay(EVENTS, cap=20)
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.away = 0.0
        self.unavailable = 0  # handshakes that a proxy in front answers by itself
        self._server: Server | None = None
        self._restarting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        options = {"compression": None, "close_timeout": 0.1, "process_request": self._handshake}
        self._server = await serve(self.relay.serve, "127.0.0.1", self.port, **options)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def restart(self, seconds: float) -> None:
        """End now, and begin again after so many seconds."""

        async def again() -> None:
            await self.stop()
            await asyncio.sleep(seconds)
            await self.start()

        self._restarting.add(asyncio.create_task(again()))

    def _handshake(self, socket: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" not in request.headers or not self.unavailable:
            return None
        self.unavailable -= 1
        return socket.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "restarting\n")


@asynccontextmanager
async def program() -> AsyncIterator[Program]:
    one = Program()
    await one.start()
    try:
        yield one
    finally:
        await asyncio.gather(*one._restarting)
        await one.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 2])
async def test_a_relay_whose_program_restarts_in_the_midst_is_waited_for(database: str, seconds: float) -> None:
    async with program() as one:

        def restarting(number: int, subscription: str, honest: list[list[object]]) -> Messages:
            if number == 3:
                one.restart(seconds)
            return [*honest[:5], None] if number == 3 else honest

        one.relay.twist = restarting
        [report] = (await sync_relays(database, config(), [one.url])).relays
    assert (report.ok, report.pending_seconds, report.error) == (True, 0, None)
    assert stored_ids(database) == ALL


@pytest.mark.slow
@pytest.mark.parametrize("behind_a_proxy", [False, True])
async def test_a_relay_that_was_there_before_may_be_restarting_when_its_sync_begins(
    database: str, behind_a_proxy: bool
) -> None:
    async with program() as one:
        await sync_relays(database, config(), [one.url])
        if behind_a_proxy:
            one.unavailable = 2
        else:
            await one.stop()
            one.restart(1)
        [report] = (await sync_relays(database, config(), [one.url])).relays
    assert report.ok


@pytest.mark.slow
async def test_a_dead_relay_is_not_waited_for_and_one_that_died_is_once(database: str) -> None:
    async with program() as one:
        [never] = (await sync_relays(database, config(), [f"ws://127.0.0.1:{free_port()}"])).relays
        await sync_relays(database, config(), [one.url])
        await one.stop()
        [first, second] = [(await sync_relays(database, config(), [one.url])).relays[0] for _ in range(2)]
    assert {never.error, first.error, second.error} == {"connection refused"}
    assert never.seconds < RESTART_SECONDS
    assert first.seconds >= RESTART_SECONDS
    assert second.seconds < RESTART_SECONDS
    assert {ok for (ok,) in ask(database, f"SELECT ok FROM sync_attempt WHERE relay_url = '{one.url}'")} == {
        True,
        False,
    }


async def test_a_host_that_says_nothing_is_connected_to_once(database: str) -> None:
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()  # its end: what it says is never answered
        await reader.read()

    async with tcp_server(silent) as port:
        options = config(networks={"clearnet": {"timeout": 1}})
        [report] = (await sync_relays(database, options, [f"ws://127.0.0.1:{port}"])).relays
    assert report.error == "no connection within 1 s"
    assert connections == 1
