"""Relay URLs: normal form, network, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, Network, parse_relay_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://Relay.Damus.IO/", "wss://relay.damus.io"),
        ("WSS://relay.damus.io:443", "wss://relay.damus.io"),
        ("ws://relay.damus.io:80", "ws://relay.damus.io"),
        ("ws://relay.damus.io:443", "ws://relay.damus.io:443"),
        ("wss://relay.damus.io:", "wss://relay.damus.io"),
        ("wss://relay.damus.io.", "wss://relay.damus.io"),
        ("wss://nostr.wine//", "wss://nostr.wine"),
        ("wss://nostr.wine/Inbox", "wss://nostr.wine/Inbox"),
        ("wss://nostr.wine/Inbox/", "wss://nostr.wine/Inbox/"),
        ("wss://nostr.wine/Inbox/?a=b", "wss://nostr.wine/Inbox/?a=b"),
        ("wss://nostr.wine//Inbox//", "wss://nostr.wine//Inbox//"),
        ("wss://nostr.wine?Key=A/", "wss://nostr.wine?Key=A/"),
        ("wss://nostr.wine/?key=a", "wss://nostr.wine?key=a"),
        ("wss://nostr.wine/?", "wss://nostr.wine"),
        ("wss://nostr.wine/a,b?c,d", "wss://nostr.wine/a%2Cb?c%2Cd"),
        ("wss://nostr.wine/a%2cb", "wss://nostr.wine/a%2Cb"),
        ("wss://münchen.de/ä", "wss://xn--mnchen-3ya.de/%C3%A4"),
        ("wss://faß.de", "wss://xn--fa-hia.de"),
        ("wss://FAẞ.de", "wss://xn--fa-hia.de"),
        ("wss://xn--fa-hia.de", "wss://xn--fa-hia.de"),
        ("wss://fass.de", "wss://fass.de"),
        ("wss://βόλος.gr", "wss://xn--nxasmm1c.gr"),
        ("wss://日本語。jp", "wss://xn--wgv71a119e.jp"),
        ("wss://\uff32\uff25\uff2c\uff21\uff39\uff0ecom", "wss://relay.com"),
        ("wss://💩.la", "wss://xn--ls8h.la"),
        ("wss://a_b.münchen.de", "wss://a_b.xn--mnchen-3ya.de"),
        ("wss://mu\u0308nchen.de.", "wss://xn--mnchen-3ya.de"),
        ("ws://[::0:1]:80/", "ws://[::1]"),
        ("ws://[2606:4700::1111]:7000", "ws://[2606:4700::1111]:7000"),
        ("ws://127.0.0.1:17771", "ws://127.0.0.1:17771"),
    ],
)
def test_normal_form(text: str, url: str) -> None:
    assert parse_relay_url(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.damus.io",
        "http://relay.damus.io",
        "wss:relay.damus.io",
        "wss://",
        "wss:///path",
        "wss://user@relay.damus.io",
        "wss://user:password@relay.damus.io",
        "wss://relay.damus.io#fragment",
        "wss://relay.damus.io\\@evil.com",
        " wss://relay.damus.io",
        "wss://relay.damus.io\n",
        "wss://relay.damus.io/\x00",
        "wss://relay.damus.io/a b",
        "wss://relay.damus.io/\u200e",
        "wss://relay..io",
        "wss://-relay.io",
        "wss://relay.io:0",
        "wss://relay.io:65536",
        "wss://relay.io:80:80",
        "wss://relay.io:22",
        "ws://127.0.0.1:25",
        "ws://[::1]:6667",
        "wss://relay.io:٣",
        "wss://relay.io/%zz",
        "wss://127.1",
        "wss://0x7f.0.0.1",
        "wss://0x7f000001",
        "wss://2130706433",
        "wss://127.0.0.01",
        "wss://[::1",
        "wss://[::1%25eth0]",
        "wss://::1",
        "wss://" + "a" * 64 + ".com",
        "wss://" + "ä" * 60 + ".com",
        "wss://mün%63hen.de",
        "wss://℀.com",
        "wss://xn--ä.com",
        "wss://ä-.com",
        "wss://\u0308a.com",
        "wss://אב1.com.1ב",
        "wss://\uff11\uff12\uff17.1",
        "wss://。com",
        "wss://\ud800.com",
        "wss://\U000e0041.com",
        "wss://relay.io/" + "a" * 500,
        "wss://relay.io/" + "," * 300,
    ],
)
def test_what_is_not_a_relay_url_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidRelayURL) as refusal:
        parse_relay_url(text)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("relay.damus.io", Network.CLEARNET),
        ("8.8.8.8", Network.CLEARNET),
        ("[2606:4700::1111]", Network.CLEARNET),
        ("münchen.рф", Network.CLEARNET),
        ("a" * 56 + ".onion", Network.TOR),
        ("www." + "a" * 56 + ".onion", Network.TOR),
        ("relay.i2p", Network.I2P),
        ("relay.loki", Network.LOKI),
        ("localhost", Network.LOCAL),
        ("relay.localhost", Network.LOCAL),
        ("umbrel.local", Network.LOCAL),
        ("relay.internal", Network.LOCAL),
        ("nas.lan", Network.LOCAL),
        ("127.8.8.8", Network.LOCAL),
        ("10.0.0.1", Network.LOCAL),
        ("100.64.0.1", Network.LOCAL),
        ("169.254.169.254", Network.LOCAL),
        ("0.0.0.0", Network.LOCAL),
        ("[::]", Network.LOCAL),
        ("[fe80::1]", Network.LOCAL),
        ("[::ffff:192.168.1.1]", Network.LOCAL),
        ("relay", Network.UNKNOWN),
        ("onion", Network.UNKNOWN),
        ("relay.example", Network.UNKNOWN),
        ("relay.b4r", Network.UNKNOWN),
    ],
)
def test_network(host: str, network: Network) -> None:
    assert parse_relay_url(f"wss://{host}").network is network


_PARTS = st.text(st.sampled_from("abcXYZ019.-_:/?,%@#[]é 😀"), max_size=30)


@given(text=st.one_of(st.text(max_size=40), _PARTS.map("wss://".__add__), _PARTS.map("ws://relay.io/".__add__)))
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    try:
        relay = parse_relay_url(text)
    except InvalidRelayURL:
        return
    assert parse_relay_url(relay.url) == relay
    assert relay.url.isascii()
    assert "," not in relay.url
