"""A relay's own word on its limits: how it is fetched, and that nothing in it can hurt."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from bigbrotr_dagster.nostr.nip11 import MAX_DOCUMENT, Limitation, fetch_limitation
from bigbrotr_dagster.nostr.reach import ConnectError
from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url
from tests.nostr.helpers import relay, tcp_server
from tests.nostr.socks import noting_socks
from tests.nostr.test_dial import ONION, server_tls
from tests.ports import free_port

DOCUMENT = orjson.dumps({"name": "a relay", "limitation": {"max_limit": 500}})
LIMITS = Limitation(max_limit=500)


def answer(body: bytes = DOCUMENT, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(headers or (f"Content-Length: {len(body)}",)), "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def saying(
    *parts: bytes, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[RelayURL, list[bytes]]]:
    """Serve `parts`, one write each, and note the requests."""
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()

    if tls is None:
        async with tcp_server(handler) as port:
            yield parse_relay_url(f"ws://127.0.0.1:{port}{path}"), asked
        return
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield parse_relay_url(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"), asked


async def fetched(
    url: RelayURL, *, within: float = 5, proxy_url: str | None = None, **options: bool
) -> Limitation:
    return await fetch_limitation(url, timeout=within, proxy_url=proxy_url, **({"allow_private": True} | options))


async def test_the_document_is_asked_for_as_nip_11_has_it() -> None:
    async with saying(answer(), path="/sub?a=b") as (url, asked):
        assert await fetched(url) == LIMITS
    lines = asked[0].decode().split("\r\n")
    assert lines[0] == "GET /sub?a=b HTTP/1.1"
    assert {"Accept: application/nostr+json", f"Host: 127.0.0.1:{url.port}"} <= set(lines)


@pytest.mark.parametrize(
    "parts",
    [
        [
            answer(DOCUMENT, "200 OK", "Transfer-Encoding: chunked").replace(
                DOCUMENT, b"%x\r\n%s\r\n0\r\n\r\n" % (len(DOCUMENT), DOCUMENT)
            )
        ],
        [answer(DOCUMENT, "200 OK", "Content-Type: text/html")],  # until the connection ends
        [answer()[:20], answer()[20:]],
    ],
)
async def test_every_framing_of_http_is_read(parts: list[bytes]) -> None:
    async with saying(*parts) as (url, _):
        assert await fetched(url) == LIMITS


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
        answer(b"not JSON"),
        answer(b"[" * 100_000),
        answer(DOCUMENT, "404 Not Found"),
        answer(b"", "302 Found", "Location: http://127.0.0.1:1/", "Content-Length: 0"),
        answer(DOCUMENT + b" " * MAX_DOCUMENT),
        answer(DOCUMENT, "200 OK", "Content-Length: 9999"),
    ],
)
async def test_what_is_no_document_is_no_hint(said: bytes) -> None:
    async with saying(said) as (url, _):
        assert await fetched(url) == Limitation()


async def test_a_relay_that_holds_its_answer_back_costs_the_time_allowed() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(silence) as port, asyncio.timeout(3):
        assert await fetched(parse_relay_url(f"ws://127.0.0.1:{port}"), within=0.3) == Limitation()


async def test_a_relay_that_is_gone_or_private_cannot_be_asked() -> None:
    gone = parse_relay_url(f"ws://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectError, match="refused"):
        await fetched(gone)
    with pytest.raises(ConnectError, match="private"):
        await fetched(gone, allow_private=False)


async def test_a_relay_that_speaks_websockets_only_gives_no_hint() -> None:
    async def serving(socket: object) -> None:
        raise AssertionError("a plain GET is no handshake")

    async with relay(serving) as url:
        assert await fetched(url) == Limitation()


async def test_the_certificate_is_verified_unless_the_relay_was_let_through_without() -> None:
    async with saying(answer(), tls=server_tls()) as (url, _):
        assert await fetched(url) == Limitation()
        assert await fetched(url, verify=False) == LIMITS


async def test_the_way_leads_through_the_proxy_and_its_name_resolution() -> None:
    async with saying(answer()) as (url, _), noting_socks(url.port) as (proxy, asked):
        assert await fetched(parse_relay_url(f"ws://{ONION}"), proxy_url=proxy, allow_private=False) == LIMITS
        assert len(asked) == 1
