"""Which addresses and ports a relay may be at. A table of our own: Python's `ipaddress` changes with its releases.

Relay URLs come from strangers, and so does what their names resolve to. Whoever connects to them must not become a
way to what only he can reach: his own machine, the network around it, the cloud's metadata service.
"""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# IANA's IPv4 Special-Purpose Address Registry, whole, also what it calls globally reachable: those are anycast
# addresses of services (AMT, AS112), where no relay is. And multicast.
_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private use",
    "100.64.0.0/10": "carrier-grade NAT",  # of it 100.100.100.200, Alibaba Cloud's metadata
    "127.0.0.0/8": "loopback",
    # 169.254.169.254: metadata of AWS, Azure, Google Cloud, Oracle, DigitalOcean, Hetzner, OpenStack, …;
    # 169.254.170.2 of containers on AWS, 169.254.0.23 of Tencent Cloud.
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private use",
    "192.0.0.0/24": "IETF protocol assignments",  # of it 192.0.0.192, metadata of Oracle Cloud at Customer
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "AMT",
    "192.88.99.0/24": "6to4 relays",
    "192.168.0.0/16": "private use",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    # A public address by its number, but inside Azure the host answers there: its wire server, DNS, DHCP.
    "168.63.129.16/32": "Azure's host",
}

# Only 2000::/3 is global unicast, so that all else needs no row: loopback, unique local (of it fd00:ec2::254,
# fd20:ce::254 and fd00:c1::a9fe:a9fe, metadata of AWS, Google Cloud and Oracle), link-local, multicast, the
# discard prefix 100::/64, segment routing's 5f00::/16, local NAT64 64:ff9b:1::/48. Of what is inside, IANA's IPv6
# Special-Purpose Address Registry.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_IPV6 = {
    "2001::/23": "IETF protocol assignments",  # Teredo, benchmarking, AMT, AS112, ORCHID, DRIP
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",  # given up (RFC 7526); whoever routes it delivers to the IPv4 address in it
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
}

# What carries an IPv4 address is what that address is: whoever routes it delivers there.
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")  # how a host without IPv4 reaches it
_ISATAP = {0x00005EFE, 0x02005EFE}  # the interface's number: one of these, then an IPv4 address (RFC 5214)

SPECIAL_IPV4 = {IPv4Network(network): use for network, use in _IPV4.items()}
SPECIAL_IPV6 = {IPv6Network(network): use for network, use in _IPV6.items()}

BAD_PORTS = frozenset(
    [
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515),
        *(526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049),
        *(3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    ]
)
"""Ports of other protocols, which browsers do not connect to (WHATWG, Fetch, "port blocking"): SSH, SMTP, …"""


def is_private_address(ip: str) -> bool:
    """Tell whether `ip` is anything but a public unicast address, or a way to what is.

    Raises:
        ValueError: if `ip` is not an IP address.
    """
    return _is_private(ipaddress.ip_address(ip))


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in SPECIAL_IPV4)
    if address in _MAPPED or address in _NAT64:
        return _is_private(_last_32_bits(address))
    if address not in _GLOBAL_UNICAST or any(address in network for network in SPECIAL_IPV6):
        return True
    return int(address) >> 32 & 0xFFFFFFFF in _ISATAP and _is_private(_last_32_bits(address))


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
