"""A relay's URL: its one normal form, and the network that it lives on.

Relay URLs come from strangers (NIP-65 lists, other relays), so parsing is strict: what a resolver could read
in a second way (`ws://0x7f.1`, user names, back-slashes) is refused rather than repaired.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

import idna

from bigbrotr_dagster.errors import InvalidInput
from bigbrotr_dagster.nostr.address import BAD_PORTS, is_private_address

MAX_LENGTH = 512
"""Longest accepted URL in characters, before and after it is brought into normal form."""

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_SHAPE = re.compile(r"(wss?)://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{2,59}")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)

# RFC 3986 path and query characters, without the comma: it separates partition keys in Dagster.
_PATH_SAFE = "/%:@!$&'()*+;=-._~"
_QUERY_SAFE = _PATH_SAFE + "?"

_LOCAL_SUFFIXES = ("localhost", "local", "internal", "lan", "home.arpa")
_RESERVED_SUFFIXES = ("test", "example", "invalid", "alt", "arpa")  # RFC 2606, 6761, 9476


class Network(StrEnum):
    """Where a relay lives, which decides how it is reached."""

    CLEARNET = "clearnet"
    TOR = "tor"
    I2P = "i2p"
    LOKI = "loki"
    LOCAL = "local"
    UNKNOWN = "unknown"


_OVERLAYS = {"onion": Network.TOR, "i2p": Network.I2P, "loki": Network.LOKI}


class InvalidRelayURL(InvalidInput):
    """The text is not a relay URL; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class RelayURL:
    """A relay URL in normal form.

    `host` is a lower-case ASCII name or an IP address without brackets; `port` is always set.
    """

    url: str
    host: str
    port: int
    secure: bool
    network: Network

    def __str__(self) -> str:
        return self.url


def parse_relay_url(text: str) -> RelayURL:
    """Bring `text` into normal form: lower-case scheme and host, no default port, no path of slashes alone.

    Two texts that name the same relay give the same `url`; parsing a normal form gives itself. `/chat` and
    `/chat/` are two: a server may answer at one and not at the other (RFC 3986, 6.2.3), and only asking tells.
    Where it answers at both, each is archived for itself; the events are stored once.

    Raises:
        InvalidRelayURL: if `text` is not an absolute ws:// or wss:// URL, or names a user or a fragment.
    """
    _refuse_unprintable(text)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InvalidRelayURL(f"{_shown(text)}: expected ws://host or wss://host")
    scheme = shape[1].lower()
    host, port = _split_authority(text, shape[2], _DEFAULT_PORTS[scheme])
    path = _escaped(text, shape[3], _PATH_SAFE) if shape[3].strip("/") else ""
    query = _escaped(text, shape[4] or "", _QUERY_SAFE)
    url = f"{scheme}://{_bracketed(host)}"
    if port != _DEFAULT_PORTS[scheme]:
        url += f":{port}"
    url += path + (f"?{query}" if query else "")
    if len(url) > MAX_LENGTH:
        raise InvalidRelayURL(f"{_shown(text)}: {len(url)} characters, more than {MAX_LENGTH}")
    return RelayURL(url, host, port, scheme == "wss", _network(host))


def _refuse_unprintable(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise InvalidRelayURL(f"{_shown(text)}: {len(text)} characters, more than {MAX_LENGTH}")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise InvalidRelayURL(f"{_shown(text)}: spaces and control characters are not allowed")
    if "\\" in text:
        raise InvalidRelayURL(f"{_shown(text)}: back-slashes are not allowed")
    if "#" in text:
        raise InvalidRelayURL(f"{_shown(text)}: fragments are not allowed")


def _split_authority(text: str, authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise InvalidRelayURL(f"{_shown(text)}: user names are not allowed")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise InvalidRelayURL(f"{_shown(text)}: {authority!a} is not host:port")
    port = int(parts[2] or default_port)
    if not 1 <= port <= 65535:
        raise InvalidRelayURL(f"{_shown(text)}: port {port} is not in 1..65535")
    if port in BAD_PORTS:
        raise InvalidRelayURL(f"{_shown(text)}: port {port} is another protocol's, as browsers have it")
    return _normal_host(text, parts[1]), port


def _normal_host(text: str, host: str) -> str:
    if host.startswith("["):
        return _normal_ipv6(text, host[1:-1])
    try:
        name = ".".join(map(_a_label, idna.uts46_remap(host, std3_rules=False).split("."))).removesuffix(".")
    except ValueError as exc:  # of it, idna's errors
        raise InvalidRelayURL(f"{_shown(text)}: {host!a} is not a host name") from exc
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidRelayURL(f"{_shown(text)}: {host!a} is not a host name")
    if _NUMBER.fullmatch(labels[-1]):
        return _normal_ipv4(text, name)
    return name


def _a_label(label: str) -> str:
    """The label in ASCII, as browsers have it (UTS 46, not transitional): there are names of emoji, which
    IDNA 2008 would not register, and DNS has underscores.

    Raises:
        ValueError: it cannot be in a name.
    """
    if label.isascii():
        return label
    idna.check_nfc(label)
    idna.check_hyphen_ok(label)
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    return f"xn--{label.encode('punycode').decode('ascii')}"


def _normal_ipv4(text: str, name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError as exc:
        # Resolvers read 127.1, 0x7f.0.0.1 and 2130706433 as addresses, each in its own way.
        raise InvalidRelayURL(f"{_shown(text)}: {name!r} is not an IPv4 address") from exc


def _normal_ipv6(text: str, host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as exc:
        raise InvalidRelayURL(f"{_shown(text)}: {host!r} is not an IPv6 address") from exc
    if address.scope_id is not None:
        raise InvalidRelayURL(f"{_shown(text)}: IPv6 zones are not allowed")
    return str(address)


def _escaped(text: str, part: str, safe: str) -> str:
    if _PERCENT.search(part):
        raise InvalidRelayURL(f"{_shown(text)}: '%' must be followed by two hex digits")
    return _ESCAPE.sub(lambda escape: escape[0].upper(), quote(part, safe=safe))


def _network(host: str) -> Network:
    try:
        return Network.LOCAL if is_private_address(host) else Network.CLEARNET
    except ValueError:
        pass  # a name
    *parents, top = host.split(".")
    if any(host == suffix or host.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES):
        return Network.LOCAL
    if not parents:
        return Network.UNKNOWN
    if top in _OVERLAYS:
        return _OVERLAYS[top]
    public = _TOP_LEVEL.fullmatch(top) and top not in _RESERVED_SUFFIXES
    return Network.CLEARNET if public else Network.UNKNOWN


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _shown(text: str) -> str:
    shown = ascii(text[:100])
    return f"{shown}…" if len(text) > 100 else shown
