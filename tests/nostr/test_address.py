"""Addresses and ports: what is refused is the same on every release of Python, and never less than it refuses."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.address import BAD_PORTS, SPECIAL_IPV4, SPECIAL_IPV6, is_private_address
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, Network, parse_relay_url

OUTSIDE_GLOBAL_UNICAST = [
    *("::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "200::/7"),
    *("4000::/3", "5f00::/16", "8000::/1", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]
SPECIAL = [*SPECIAL_IPV4, *SPECIAL_IPV6, *map(IPv6Network, OUTSIDE_GLOBAL_UNICAST)]

NAT64 = IPv6Network("64:ff9b::/96")


def within(network: IPv4Network | IPv6Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    first, last = int(network.network_address), int(network.broadcast_address)
    ends = st.sampled_from([first, last])
    return (ends | st.integers(first, last)).map(type(network.network_address))


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_every_address_of_a_special_network_is_refused(network: IPv4Network | IPv6Network) -> None:
    @given(address=within(network))
    def refused(address: IPv4Address | IPv6Address) -> None:
        assert is_private_address(str(address))
        host = f"[{address}]" if address.version == 6 else str(address)
        assert parse_relay_url(f"ws://{host}").network is Network.LOCAL

    refused()


CARRIERS = [
    lambda ip: f"::ffff:{ip}",
    lambda ip: f"64:ff9b::{ip}",
    lambda ip: str(IPv6Address(0x2606 << 112 | 0x5EFE << 32 | int(ip))),
    lambda ip: str(IPv6Address(0x2A01 << 112 | 0x02005EFE << 32 | int(ip))),
]


@given(ip=st.ip_addresses(v=4), special=st.sampled_from(list(SPECIAL_IPV4)), carrier=st.sampled_from(CARRIERS))
def test_what_carries_an_ipv4_address_is_what_that_is(
    ip: IPv4Address, special: IPv4Network, carrier: object
) -> None:
    assert callable(carrier)
    assert is_private_address(carrier(ip)) == is_private_address(str(ip))
    assert is_private_address(carrier(special.network_address))


GLOBAL_UNICAST = st.integers(0, 2**125 - 1).map(lambda number: IPv6Address(1 << 125 | number))


@given(ip=st.ip_addresses(v=4) | st.ip_addresses(v=6) | GLOBAL_UNICAST)
@example(ip=IPv4Address("192.0.0.192"))
@example(ip=IPv6Address("64:ff9b::7f00:1"))
@example(ip=IPv6Address("2001:1::1"))
def test_nothing_is_let_through_that_python_refuses(ip: IPv4Address | IPv6Address) -> None:
    """Of its own table, which differs by release. But NAT64's addresses and mapped ones are what they carry."""
    if is_private_address(str(ip)) or ip in NAT64 or getattr(ip, "ipv4_mapped", None):
        return
    assert ip.is_global
    refusals = (ip.is_private, ip.is_multicast, ip.is_reserved, ip.is_loopback, ip.is_link_local)
    assert not any(refusals)


@pytest.mark.parametrize(
    "ip",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1"),
        *("168.63.129.15", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.1", "191.255.255.255"),
        *("192.0.1.0", "192.0.3.0", "192.88.98.255", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
        *("198.20.0.0", "223.255.255.255"),
        *("2000::1", "2001:200::1", "2001:db7:ffff::", "2003::1", "2606:4700::1111", "2a00:1450::1", "3ffe::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2606::5efe:808:808"),
    ],
)
def test_public_address(ip: str) -> None:
    assert not is_private_address(ip)


def test_most_addresses_are_public() -> None:
    """A relay can be nearly anywhere: the IPv4 table holds what the registries do, about a seventh of it."""
    refused = sum(network.num_addresses for network in ipaddress.collapse_addresses(SPECIAL_IPV4))
    assert 0.13 < refused / 2**32 < 0.15


@pytest.mark.parametrize(
    "ip",
    [
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
        *("fd20:ce::254", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        *("fe80::1%eth0", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "2002:7f00:1::1", "::127.0.0.1"),
    ],
)
def test_metadata_services_and_ways_to_them_are_refused(ip: str) -> None:
    assert is_private_address(ip)


@pytest.mark.parametrize("text", ["relay.damus.io", "", "1.2.3", "1.2.3.4.5", ":::", "0x7f000001", "::1/128"])
def test_a_name_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        is_private_address(text)


@pytest.mark.parametrize("port", sorted(BAD_PORTS))
def test_ports_of_other_protocols_are_refused(port: int) -> None:
    with pytest.raises(InvalidRelayURL, match=f"port {port} is another protocol's"):
        parse_relay_url(f"wss://relay.damus.io:{port}/path")


@pytest.mark.parametrize("port", [80, 443, 4848, 7000, 7777, 8080, 8443, 10081, 65535])
def test_ports_of_relays_are_not(port: int) -> None:
    assert parse_relay_url(f"ws://relay.damus.io:{port}").port == port
