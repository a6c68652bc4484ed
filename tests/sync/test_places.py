"""Which relays share a place, and so its cap."""

import socket

import pytest

from bigbrotr_dagster.nostr.reach import Way
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.sync.places import host_place, places

ONION = "a" * 56 + ".onion"
I2P = "b" * 52 + ".b32.i2p"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("wss://relay.example.com/a?b=c", "relay.example.com"),
        ("wss://relay.example.com:4443", "relay.example.com"),
        ("wss://8.8.8.8:7777", "8.8.8.8"),
        ("wss://[2001:4860:4860::8888]", "2001:4860:4860::/48"),
        ("ws://127.0.0.1:7777", "127.0.0.1:7777"),
        ("ws://nas.lan:7777", "nas.lan:7777"),
        (f"ws://relay.{ONION}:81", ONION),
        (f"ws://{ONION}", ONION),
        ("ws://a.b.relay.i2p", "relay.i2p"),
        (f"ws://a.{I2P}", I2P),
    ],
)
def test_the_place_that_a_url_names(url: str, place: str) -> None:
    assert host_place(parse_relay_url(url)) == place


def test_the_places_of_addresses() -> None:
    found = ["8.8.8.8", "2001:4860:4860::8888", "2001:4860:4860:1::", "127.0.0.1"]
    way = Way(
        parse_relay_url("wss://relay.example.com:444"),
        addresses=tuple((socket.AF_INET6 if ":" in ip else socket.AF_INET, ip) for ip in found),
    )
    assert places(way) == ["8.8.8.8", "2001:4860:4860::/48", "127.0.0.1:444"]
