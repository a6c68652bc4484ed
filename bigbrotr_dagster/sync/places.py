"""Where a relay is, for the caps that keep one host's relays, however many URLs it has, from taking all slots.

A place is a host's name, or an address. On private addresses, which only `allow_private` lets in, each port is a
place of its own: they are the operator's. Whoever has one IPv6 address has many, so a /48 is one place (RFC 6177).
Who owns a domain is not known here: the names below it are hosts of their own, and meet at their addresses.
"""

import ipaddress

from bigbrotr_dagster.nostr.address import is_private_address
from bigbrotr_dagster.nostr.reach import Way
from bigbrotr_dagster.nostr.relay_url import Network, RelayURL

_OVERLAY_LABELS = {Network.TOR: 2, Network.LOKI: 2, Network.I2P: 2}


def host_place(relay: RelayURL) -> str:
    """The place that its URL names, without a lookup."""
    if relay.network is Network.LOCAL:
        return f"{relay.host}:{relay.port}"
    labels = relay.host.split(".")
    owned = _OVERLAY_LABELS.get(relay.network, len(labels)) + relay.host.endswith(".b32.i2p")
    return _address_place(".".join(labels[-owned:]), relay.port)  # below an onion name all is its owner's


def places(way: Way) -> list[str]:
    """The places of the addresses that would be dialled; none behind a proxy."""
    return list(dict.fromkeys(_address_place(ip, way.relay.port) for _, ip in way.addresses))


def _address_place(host: str, port: int) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if is_private_address(host):
        return f"{host}:{port}"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 48), strict=False))
    return host
