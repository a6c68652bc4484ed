"""Reaching a relay: private addresses, TLS, redirects, SOCKS; every failure is one clear line."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.nostr import dial
from bigbrotr_dagster.nostr.connection import ConnectError, Failure, connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.reach import find_way
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.windowing.outcome import Ending
from tests.nostr.helpers import received, relay, send, tcp_server
from tests.nostr.socks import microsocks, noting_socks
from tests.ports import free_port
from tests.relays.nameserver import nameserver, silent

CERTIFICATE = Path(__file__).parent / "self_signed.pem"
ONION = "a" * 56 + ".onion"


async def serving(socket: ServerConnection) -> None:
    _, id, *_ = await received(socket, "REQ")
    await send(socket, "EOSE", id)


async def ending(url: str, **options: Any) -> tuple[Ending, bool]:
    """Return how a request to `url` ended, and whether the certificate went unverified."""
    async with connect(parse_relay_url(url), **({"timeout": 5, "allow_private": True} | options)) as connection:
        page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
        return page.outcome.ending, connection.insecure


async def failure(url: str, **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as error:
        await ending(url, **options)
    assert len(str(error.value).splitlines()) == 1
    return error.value


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


# Private addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "localhost", "[::1]", "169.254.169.254", "nas.lan"])
async def test_a_private_address_is_refused(host: str) -> None:
    error = await failure(f"ws://{host}:{free_port()}", allow_private=False)
    assert error.private


async def test_a_private_address_is_refused_behind_a_proxy_too() -> None:
    error = await failure("ws://10.0.0.1", allow_private=False, proxy_url="socks5://127.0.0.1:9")
    assert error.private


async def test_a_public_name_with_a_private_address_is_refused() -> None:
    async with nameserver({"relay.damus.io": ["127.0.0.1"]}), relay(serving) as url:
        error = await failure(f"ws://relay.damus.io:{url.port}", allow_private=False)
    assert error.private
    assert "127.0.0.1" in str(error)


async def test_of_private_and_public_addresses_only_the_public_ones_may_be_dialled() -> None:
    mixed = ["10.0.0.1", "93.184.215.14", "127.0.0.1", "::1", "::ffff:192.168.0.1", "2606:2800:21f::1"]
    async with nameserver({"relay.damus.io": mixed}):
        url = parse_relay_url("wss://relay.damus.io")
        way = await find_way(url, within=5, proxy_url=None, allow_private=False)
    assert {ip for _, ip in way.addresses} == {"93.184.215.14", "2606:2800:21f::1"}


async def test_the_checked_address_is_the_one_connected_to() -> None:
    async with nameserver({"relay.damus.io": ["127.0.0.1"]}) as names, relay(serving) as url:
        assert await ending(f"ws://relay.damus.io:{url.port}") == (Ending.EOSE, False)
    # one lookup of both types: there is no second answer to be fooled by
    assert names.asked == ["relay.damus.io"] * 2


async def test_an_address_needs_no_lookup() -> None:
    async with nameserver({}, silent) as names, relay(serving) as url:
        assert await ending(url.url) == (Ending.EOSE, False)
    assert names.asked == []


async def test_the_next_address_is_tried() -> None:
    async with nameserver({"relay.damus.io": ["127.0.0.2", "127.0.0.1"]}), relay(serving) as url:
        assert (await ending(f"ws://relay.damus.io:{url.port}"))[0] is Ending.EOSE


async def test_the_other_family_is_tried() -> None:
    async with nameserver({"relay.damus.io": ["::1", "127.0.0.1"]}), relay(serving) as url:
        assert (await ending(f"ws://relay.damus.io:{url.port}"))[0] is Ending.EOSE


# Failures


async def test_a_refused_connection() -> None:
    error = await failure(f"ws://127.0.0.1:{free_port()}")
    assert (error.failure, str(error)) == (Failure.NETWORK, "connection refused")


async def test_an_unknown_name() -> None:
    async with nameserver({}):
        error = await failure("ws://no-such-relay.invalid")
    assert (error.failure, str(error)) == (Failure.DNS, "name not found: no-such-relay.invalid")


async def test_a_server_that_says_nothing() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(handler) as port:
        error = await failure(f"ws://127.0.0.1:{port}", timeout=0.3)
    assert (error.failure, str(error)) == (Failure.TIMEOUT, "no connection within 0.3 s")


async def http_answer(answer: bytes) -> ConnectError:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with tcp_server(handler) as port:
        return await failure(f"ws://127.0.0.1:{port}")


@pytest.mark.parametrize("status", [200, 403, 404, 429, 502])
async def test_another_http_status(status: int) -> None:
    error = await http_answer(b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % status)
    assert error.failure is Failure.HTTP
    assert str(status) in str(error)


async def test_a_redirect_is_not_followed() -> None:
    visited = []

    async def target(socket: ServerConnection) -> None:
        visited.append(socket)

    async with relay(target) as elsewhere:
        location = elsewhere.url.encode()
        answer = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
        error = await http_answer(answer)
    assert error.failure is Failure.HTTP
    assert visited == []


@pytest.mark.parametrize("answer", [b"", b"220 mail ready\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"\xff" * 99])
async def test_a_server_that_is_no_relay(answer: bytes) -> None:
    assert (await http_answer(answer)).failure is Failure.HANDSHAKE


# TLS


async def test_an_untrusted_certificate_is_refused() -> None:
    async with relay(serving, ssl=server_tls()) as url:
        error = await failure(url.url)
    assert error.failure is Failure.CERTIFICATE
    assert "self-signed" in str(error)


async def test_allow_insecure_passes_an_untrusted_certificate_and_says_so() -> None:
    async with relay(serving, ssl=server_tls()) as url:
        assert await ending(url.url, allow_insecure=True) == (Ending.EOSE, True)


async def test_a_trusted_certificate_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    dial.tls_context.cache_clear()
    try:
        async with relay(serving, ssl=server_tls()) as url:
            assert await ending(url.url, allow_insecure=True) == (Ending.EOSE, False)
            by_name = f"wss://localhost:{url.port}"
            assert await ending(by_name) == (Ending.EOSE, False)
    finally:
        dial.tls_context.cache_clear()


async def test_a_trusted_certificate_for_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    dial.tls_context.cache_clear()
    names = nameserver({"relay.damus.io": ["127.0.0.1"]})
    try:
        async with names, relay(serving, ssl=server_tls()) as url:
            error = await failure(f"wss://relay.damus.io:{url.port}")
    finally:
        dial.tls_context.cache_clear()
    assert error.failure is Failure.CERTIFICATE


@pytest.mark.parametrize(("answer", "kind"), [(b"HTTP/1.1 400 No\r\n\r\n", Failure.TLS), (b"", Failure.NETWORK)])
async def test_allow_insecure_passes_nothing_but_certificates(answer: bytes, kind: Failure) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)  # no TLS at all

    async with tcp_server(handler) as port:
        error = await failure(f"wss://127.0.0.1:{port}", allow_insecure=True)
    assert error.failure is kind


# SOCKS


async def test_an_onion_name_is_resolved_by_the_proxy_and_never_here() -> None:
    here = nameserver({ONION: ["127.0.0.1"]})
    async with here as names, relay(serving) as url, noting_socks(url.port) as (proxy, asked):
        assert await ending(f"ws://{ONION}:81", proxy_url=proxy, allow_private=False) == (Ending.EOSE, False)
    assert [(each.address_type, each.host, each.port) for each in asked] == [(3, ONION, 81)]
    assert names.asked == []


async def test_each_relay_has_a_socks_user_of_its_own() -> None:
    hosts = [ONION, "b" * 56 + ".onion", ONION]
    async with relay(serving) as url, noting_socks(url.port) as (proxy, asked):
        for host in hosts:
            await ending(f"ws://{host}", proxy_url=proxy)
    users = [each.user for each in asked]
    assert users[0] == users[2] != users[1]
    assert all(users)


async def test_credentials_of_the_proxy_are_kept() -> None:
    async with relay(serving) as url, noting_socks(url.port) as (proxy, asked):
        await ending(f"ws://{ONION}", proxy_url=proxy.replace("//", "//us%40er:pass@"))
    assert [each.user for each in asked] == ["us@er"]


async def test_allow_insecure_works_through_the_proxy() -> None:
    async with relay(serving, ssl=server_tls()) as url, noting_socks(url.port) as (proxy, asked):
        found = await ending(f"wss://{ONION}", proxy_url=proxy, allow_insecure=True)
    assert found == (Ending.EOSE, True)
    assert {each.address_type for each in asked} == {3}


@pytest.mark.parametrize("top", ["onion", "i2p", "loki"])
async def test_an_overlay_relay_without_a_proxy_is_not_tried(top: str) -> None:
    async with nameserver({f"relay.{top}": ["127.0.0.1"]}) as names:
        assert (await failure(f"ws://relay.{top}")).failure is Failure.PROXY
    assert names.asked == []


async def test_a_proxy_that_is_down_is_not_the_relays_fault() -> None:
    error = await failure(f"ws://{ONION}", proxy_url=f"socks5://127.0.0.1:{free_port()}")
    assert error.failure is Failure.PROXY


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks4://127.0.0.1:1", "socks5://", "socks5://h:x", "x"])
async def test_what_is_no_socks5_proxy_is_refused(proxy: str) -> None:
    assert (await failure(f"ws://{ONION}", proxy_url=proxy)).failure is Failure.PROXY


async def test_microsocks_leads_to_a_relay_by_name() -> None:
    with microsocks() as port:
        async with relay(serving) as url:
            found = await ending(f"ws://localhost:{url.port}", proxy_url=f"socks5://127.0.0.1:{port}")
    assert found == (Ending.EOSE, False)


async def test_a_name_that_microsocks_cannot_resolve_is_the_relays_failure() -> None:
    with microsocks() as port:
        error = await failure(f"ws://{ONION}", proxy_url=f"socks5://127.0.0.1:{port}")
    assert error.failure is Failure.NETWORK


async def test_wrong_credentials_are_the_proxys_failure() -> None:
    with microsocks("-u", "user", "-P", "right") as port:
        error = await failure(f"ws://{ONION}", proxy_url=f"socks5://user:wrong@127.0.0.1:{port}")
    assert error.failure is Failure.PROXY
    assert "refused" not in str(error)
