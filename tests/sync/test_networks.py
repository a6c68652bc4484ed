"""How relays are reached: proxies for the overlay networks, and certificates that nobody vouches for."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.nostr.socks import microsocks, noting_socks
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids

CERTIFICATE = Path(__file__).parents[1] / "nostr" / "self_signed.pem"
EVENTS = [signed(number) for number in range(1, 40)]
OVERLAYS = {"tor": "a" * 56 + ".onion", "i2p": "b" * 52 + ".b32.i2p", "loki": "c" * 52 + ".loki"}


@pytest.mark.parametrize("network", OVERLAYS)
async def test_an_overlay_relay_goes_through_the_proxy_of_its_network(database: str, network: str) -> None:
    async with scripted(EVENTS, cap=10) as relay, noting_socks(urlsplit(relay.url).port or 0) as (proxy, asked):
        options = config(networks={network: {"enabled": True, "proxy_url": proxy}})
        [report] = (await sync_relays(database, options, [f"ws://{OVERLAYS[network]}"])).relays
    assert report.ok
    assert stored_ids(database, f"ws://{OVERLAYS[network]}") == {event.id for event in EVENTS}
    [circuit] = {(request.user, request.host, request.port) for request in asked}  # NIP-11 and the WebSocket
    assert circuit[1:] == (OVERLAYS[network], 80)


async def test_a_proxy_that_nobody_here_wrote_is_asked_for_the_name(database: str) -> None:
    with microsocks() as port:
        options = config(
            networks={"tor": {"enabled": True, "proxy_url": f"socks5://127.0.0.1:{port}", "timeout": 5}}
        )
        [report] = (await sync_relays(database, options, [f"ws://{OVERLAYS['tor']}"])).relays
    assert not report.ok, "microsocks knows no onion names, and says so"
    assert report.error is not None
    assert "\n" not in report.error


async def test_a_network_that_is_not_enabled_is_not_tried(database: str) -> None:
    [report] = (await sync_relays(database, config(), [f"ws://{OVERLAYS['tor']}"])).relays
    assert report.error == "network tor is not enabled"


@pytest.mark.parametrize("allowed", [True, False])
async def test_allow_insecure_passes_an_untrusted_certificate_and_the_record_says_so(
    database: str, allowed: bool
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    async with scripted(EVENTS, tls=tls) as relay:
        options = config(processing={"allow_insecure": allowed})
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert report.ok is allowed
    assert ask(database, "SELECT insecure FROM relay_limits") == [(allowed,)]


async def test_a_key_in_the_environment_answers_a_challenge(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenged: list[str] = []

    def members_only(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        if number == 1:
            return [["AUTH", "who are you"], ["CLOSED", subscription, "auth-required: members only"]]
        return honest

    def on_auth(event: dict[str, object]) -> list[object]:
        challenged.append(str(event["pubkey"]))
        return ["OK", event["id"], True, ""]

    monkeypatch.setenv("NOSTR_PRIVATE_KEY", "01" * 32)
    async with scripted(EVENTS, twist=members_only) as relay:
        relay.on_auth = on_auth
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.ok
    assert len(challenged) == 1
    assert stored_ids(database) == {event.id for event in EVENTS}
