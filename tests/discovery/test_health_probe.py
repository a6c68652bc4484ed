"""One relay's checks over real sockets: what is found, what a hostile one can do, and where nobody dials."""

import asyncio
import json
import time
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.health.documents import MAX_DOCUMENT, Check
from bigbrotr_dagster.discovery.health.places import Places
from bigbrotr_dagster.discovery.health.probe import Found, probe
from bigbrotr_dagster.nostr.dial import tls_context
from bigbrotr_dagster.nostr.reach import Failure
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.nostr.resolver import resolver
from tests.discovery.documented import EVENT, documented
from tests.nostr.helpers import relay, tcp_server
from tests.nostr.socks import noting_socks
from tests.nostr.test_dial import CERTIFICATE, ONION, server_tls
from tests.ports import free_port
from tests.relays.nameserver import Question, nameserver

NAME = "relay.damus.io"


def config(timeout: float = 5, **options: Any) -> SynchronizerConfig:
    given = {"allow_private": True, "networks": {"clearnet": {"timeout": timeout}}}
    return SynchronizerConfig.model_validate(given | options)


async def check(url: str, options: SynchronizerConfig | None = None) -> Found:
    options = options or config()
    one = parse_relay_url(url)
    network = options.networks.get(one.network)
    assert network is not None
    return await probe(options, network, one, Places())


def documents(found: Found) -> dict[str, dict[str, Any]]:
    assert len({document.check for document in found.documents}) == len(found.documents)
    return {document.check.value: json.loads(document.encoded()) for document in found.documents}


async def test_one_websocket_and_one_document_tell_all_there_is() -> None:
    headers = {"Server": "nginx", "X-Powered-By": "a relay"}
    async with documented(body=b'{"name": "n", "supported_nips": [1]}', headers=headers) as one:
        found = await check(one.url)
    assert (one.connections, one.asked) == (1, ["/"])
    assert (found.alive, found.reason, found.failure) == (True, None, None)
    said = documents(found)
    assert set(said) == {Check.NIP11, Check.RTT, Check.HTTP}
    assert said[Check.NIP11]["data"] == {"name": "n", "supported_nips": [1]}
    assert said[Check.HTTP]["data"] == {"http_server": "nginx", "http_powered_by": "a relay"}
    assert set(said[Check.RTT]["data"]) == {"rtt_open", "rtt_read"}


async def test_the_read_round_trip_is_the_time_until_the_first_event() -> None:
    async with documented(delay=0.3) as one:
        data = documents(await check(one.url))[Check.RTT]["data"]
    assert 300 <= data["rtt_read"] < 3_000
    assert data["rtt_open"] < 300


async def test_an_empty_relay_is_alive_and_its_read_fails() -> None:
    async with documented(answers=[["EOSE", "SUB"]]) as one:
        found = await check(one.url)
    assert found.alive
    logs = documents(found)[Check.RTT]["logs"]
    assert logs == {"open_success": True, "read_success": False, "read_reason": "no events returned"}


@pytest.mark.parametrize(
    ("answers", "alive", "words"),
    [
        ([["CLOSED", "SUB", "auth-required: members only"]], True, "auth-required: members only"),
        ([["NOTICE", "slow down"]], True, "slow down"),
        ([["AUTH", "a challenge"]], True, "timeout"),
        ([["EVENT", "SUB", {"id": "no event at all"}]], False, "timeout"),
        ([], False, "timeout(no end within 1 s)"),
        ([["REQ", "SUB", {"limit": 1}]], False, "timeout"),
        ([["HELLO"]], False, "timeout"),
        ([{"error": "not a relay"}], False, "timeout"),
    ],
)
async def test_alive_is_who_speaks_nostr(answers: list[Any], alive: bool, words: str | None) -> None:
    async with documented(answers=answers) as one:
        found = await check(one.url, config(timeout=1))
    assert found.alive is alive
    reason = documents(found)[Check.RTT]["logs"].get("read_reason")
    assert reason is None if words is None else words in reason
    assert alive or words is None or words in str(found.reason)


async def test_a_relay_that_ignores_the_limit_is_alive_all_the_same() -> None:
    async with documented(answers=[["EVENT", "SUB", EVENT]] * 1_000) as one:
        found = await check(one.url)
    assert found.alive
    assert "rtt_read" in documents(found)[Check.RTT]["data"]


async def test_a_certificate_that_is_not_trusted_is_read_all_the_same() -> None:
    async with documented(tls=server_tls()) as one:
        found = await check(one.url)
    assert (found.alive, found.failure, one.connections, one.asked) == (False, Failure.CERTIFICATE, 0, [])
    certificate = documents(found)[Check.SSL]
    assert certificate["logs"] == {"success": False, "reason": "TLS certificate: self-signed certificate"}
    data = certificate["data"]
    assert data["ssl_valid"] is False
    assert data["ssl_subject_cn"] == "practice certificate of the tests"
    assert data["ssl_san"] == ["localhost"]
    assert data["ssl_not_before"] < time.time() < data["ssl_expires"]
    assert data["ssl_fingerprint"].startswith("SHA256:73:AF:04:")
    assert (data["ssl_version"], data["ssl_protocol"], data["ssl_cipher_bits"]) == (3, "TLSv1.3", 256)


async def test_a_certificate_that_is_trusted_comes_with_the_one_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls_context.cache_clear()
    try:
        async with documented(tls=server_tls()) as one:
            found = await check(one.url.replace("127.0.0.1", "localhost"))
    finally:
        tls_context.cache_clear()
    assert (found.alive, one.connections, one.asked) == (True, 1, ["/"])
    certificate = documents(found)[Check.SSL]
    assert certificate["logs"] == {"success": True}
    assert certificate["data"]["ssl_valid"] is True
    assert certificate["data"]["ssl_fingerprint"].startswith("SHA256:73:AF:04:")


async def test_with_allow_insecure_it_is_noted_on_the_one_websocket() -> None:
    async with documented(tls=server_tls()) as one:
        found = await check(one.url, config(processing={"allow_insecure": True}))
    assert (found.alive, one.connections, one.asked) == (True, 1, ["/"])
    said = documents(found)
    assert said[Check.SSL]["data"]["ssl_valid"] is False
    assert said[Check.NIP11]["data"] == {"name": "practice"}


async def test_a_server_without_tls_has_no_certificate() -> None:
    async with documented() as one:
        found = await check(one.url.replace("ws://", "wss://"))
    assert found.failure in (Failure.TLS, Failure.NETWORK)
    assert documents(found)[Check.SSL]["data"] == {}


async def test_a_host_that_refuses_costs_one_try() -> None:
    found = await check(f"ws://127.0.0.1:{free_port()}")
    assert (found.alive, found.failure, found.refused) == (False, Failure.NETWORK, True)
    assert {each["logs"].get("reason", "connection refused") for each in documents(found).values()} == {
        "connection refused"
    }


async def test_a_host_that_says_nothing_costs_its_timeout_once() -> None:
    connections = 0

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()

    async with tcp_server(silence) as port:
        started = time.monotonic()
        found = await check(f"ws://127.0.0.1:{port}", config(timeout=0.5))
    assert (found.alive, found.failure, connections) == (False, Failure.TIMEOUT, 1)
    assert time.monotonic() - started < 2


async def test_a_server_that_is_no_relay_may_have_a_document() -> None:
    async def no_relay(socket: ServerConnection) -> None:
        raise AssertionError("the handshake is refused")

    async with relay(no_relay, process_request=lambda socket, _: socket.respond(503, "away")) as url:
        found = await check(url.url)
    assert (found.alive, found.failure) == (False, Failure.HTTP)
    said = documents(found)
    assert said[Check.RTT]["logs"]["open_reason"] == "HTTP status 503 instead of 101"
    assert said[Check.NIP11]["logs"]["reason"] == "HTTP status 503"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": "' + b"x" * 10_000_000 + b'"}', "more than 131072 bytes"),
        (b'{"name": ' + b"[" * 100_000, "not a JSON object"),
        (b"\xff\xfe\x00", "not a JSON object"),
        (b"", "not a JSON object"),
    ],
)
async def test_a_hostile_document_costs_no_more_than_its_bound(body: bytes, reason: str) -> None:
    async with documented(body=body) as one:
        said = documents(await check(one.url))[Check.NIP11]
    assert said == {"data": {}, "logs": {"success": False, "reason": reason}}


async def test_an_endless_document_ends_with_its_time() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"Upgrade" in asked or b"upgrade" in asked:
            writer.write(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with tcp_server(endless) as port:
        started = time.monotonic()
        found = await check(f"ws://127.0.0.1:{port}", config(timeout=1))
    assert documents(found)[Check.NIP11]["logs"]["reason"] == "no whole answer within 1 s"
    assert time.monotonic() - started < 5


async def test_huge_strings_and_what_jsonb_refuses_are_bounded() -> None:
    huge = {"description": "x" * 100_000, "name": "a\0\ud800b"}
    body = json.dumps(huge).encode()
    headers = {"Server": "y" * 7_000}
    async with documented(body=body, headers=headers) as one:
        found = await check(one.url)
    said = documents(found)
    assert said[Check.NIP11]["data"]["name"] == "a\ufffdb"
    assert len(said[Check.HTTP]["data"]["http_server"]) < 400
    assert all(len(document.encoded()) <= MAX_DOCUMENT for document in found.documents)


# Where nobody dials


async def test_a_name_that_means_a_private_address_is_not_dialled() -> None:
    async with documented() as one, nameserver({NAME: ["127.0.0.1"]}):
        port = parse_relay_url(one.url).port
        found = await check(f"ws://{NAME}:{port}", config(allow_private=False))
    assert (found.alive, found.failure, one.connections, one.asked) == (False, Failure.PRIVATE, 0, [])
    assert documents(found)[Check.DNS]["data"]["dns_ips"] == ["127.0.0.1"], "what DNS says is noted"


async def test_a_name_that_changes_its_mind_is_not_dialled_either() -> None:
    """DNS rebinding: public at the first look, loopback at every later one."""
    looks = 0

    def rebinding(question: Question) -> list[bytes]:
        nonlocal looks
        looks += 1
        return [question.answer(["192.0.2.1"] if looks <= 1 else ["127.0.0.1"])]

    async with documented(tls=server_tls()) as one, nameserver({NAME: rebinding}):
        port = parse_relay_url(one.url).port
        found = await check(f"wss://{NAME}:{port}", config(allow_private=False))
    assert not found.alive
    assert (one.connections, one.asked) == (0, [])


async def test_no_overlay_name_reaches_dns_and_its_way_leads_through_the_proxy() -> None:
    async with (
        documented() as one,
        nameserver({}) as server,
        noting_socks(parse_relay_url(one.url).port) as (proxy, asked),
    ):
        tor = {"enabled": True, "timeout": 5, "proxy_url": proxy}
        found = await check(f"ws://{ONION}", config(allow_private=False, networks={"tor": tor}))
    assert found.alive
    assert server.asked == []
    assert len(asked) == 2
    assert set(documents(found)) == {Check.NIP11, Check.RTT, Check.HTTP}


async def test_what_dns_says_is_noted() -> None:
    def server_of(question: Question) -> list[bytes]:
        if question.type != 2:
            return [question.answer()]
        head = question.id + bytes.fromhex("8180 0001 0001 0000 0000")
        name = b"\x02ns\xc0\x0c"
        return [head + question.raw + bytes.fromhex("c00c 0002 0001 00000e10") + len(name).to_bytes(2) + name]

    names = {NAME: ["192.0.2.1", "2001:db8::1", "192.0.2.2"], "damus.io": server_of}
    async with nameserver(names) as server:
        found = await check(f"wss://{NAME}", config(timeout=2, allow_private=False))
    assert found.failure is Failure.PRIVATE
    data = documents(found)[Check.DNS]["data"]
    assert sorted(data.pop("dns_ips")) == ["192.0.2.1", "192.0.2.2"]
    assert data == {"dns_ips_v6": ["2001:db8::1"], "dns_ns": ["ns.damus.io"], "dns_ttl": 300}
    assert not any("in-addr" in name for name in server.asked), "a private address is not asked for"


async def test_a_name_without_an_address_says_so() -> None:
    async with nameserver({}), resolver():
        found = await check(f"wss://{NAME}", config(timeout=2))
    assert found.failure is Failure.DNS
    assert documents(found)[Check.DNS]["logs"] == {"success": False, "reason": f"no address found for {NAME}"}
