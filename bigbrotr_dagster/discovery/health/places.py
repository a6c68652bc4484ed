"""nip66_geo and nip66_net: where a relay's addresses are, and whose, by MaxMind's files where there are some."""

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bigbrotr_dagster.config import ConfigError, SynchronizerConfig
from bigbrotr_dagster.discovery.health.documents import (
    Check,
    Document,
    a_number,
    a_text,
    failed,
    succeeded,
)

_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"


class Reader(Protocol):
    """What is needed of a file; `maxminddb.Reader` is one."""

    def get_with_prefix_len(self, ip_address: str) -> tuple[Any, int]:
        """The record of the network that the address is in, and the length of its prefix."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files that are there; open them with `open_places`."""

    cities: Reader | None = None
    networks: Reader | None = None
    precision: int = 9

    def documents(self, addresses: Sequence[str]) -> list[Document]:
        """What the files say of a relay's addresses: IPv4 before IPv6."""
        v4 = [address for address in addresses if ":" not in address][:1]
        v6 = [address for address in addresses if ":" in address][:1]
        documents = []
        if self.cities is not None:
            documents.append(geo_document(self.cities, [*v4, *v6], self.precision))
        if self.networks is not None:
            documents.append(net_document(self.networks, v4, v6))
        return documents


@contextmanager
def open_places(config: SynchronizerConfig) -> Iterator[Places]:
    """The files that the configuration names.

    Raises:
        ConfigError: one of them cannot be read, or what reads them is not installed.
    """
    given = config.monitor.geo
    with ExitStack() as stack:

        def opened(path: str | None) -> Reader | None:
            return None if path is None else stack.enter_context(_open(path))

        yield Places(opened(given.city_database_path), opened(given.asn_database_path), given.geohash_precision)


def _open(path: str) -> Any:
    try:
        import maxminddb  # an extra
    except ImportError as error:
        raise ConfigError("monitor.geo needs more: pip install 'bigbrotr-dagster[geo]'") from error
    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(f"monitor.geo: {path} cannot be read: {error}") from error


def geo_document(cities: Reader, addresses: Sequence[str], precision: int) -> Document:
    """Where the first address is that the file knows."""
    for address in addresses:
        record = _record(cities, address)[0]
        if record:
            return succeeded(Check.GEO, geo_data(record, precision))
    return failed(Check.GEO, "no address" if not addresses else "the file does not know the address")


def geo_data(record: dict[str, Any], precision: int) -> dict[str, Any]:
    """A record of GeoLite2 City by BigBrotr's names; the country where it is before the one that registered it."""
    country = _part(record, "country") or _part(record, "registered_country")
    continent, city, location = (_part(record, key) for key in ("continent", "city", "location"))
    regions = record.get("subdivisions")
    region = regions[0] if isinstance(regions, list) and regions and isinstance(regions[0], dict) else {}
    lat, lon = (_degrees(location.get(key)) for key in ("latitude", "longitude"))
    return {
        "geo_country": a_text(country.get("iso_code")),
        "geo_country_name": _name(country),
        "geo_continent": a_text(continent.get("code")),
        "geo_continent_name": _name(continent),
        "geo_is_eu": bool(country.get("is_in_european_union", False)),
        "geo_region": _name(region),
        "geo_city": _name(city),
        "geo_postal": a_text(_part(record, "postal").get("code")),
        "geo_lat": lat,
        "geo_lon": lon,
        "geo_accuracy": a_number(location.get("accuracy_radius")),
        "geo_tz": a_text(location.get("time_zone")),
        "geo_hash": None if lat is None or lon is None else geohash(lat, lon, precision),
        "geo_geoname_id": a_number(city.get("geoname_id") or country.get("geoname_id")),
    }


def net_document(networks: Reader, v4: Sequence[str], v6: Sequence[str]) -> Document:
    """Whose the addresses are."""
    data: dict[str, Any] = {"net_ip": v4[0] if v4 else None, "net_ipv6": v6[0] if v6 else None}
    for address, key in [*((each, "net_network") for each in v4), *((each, "net_network_v6") for each in v6)]:
        record, network = _record(networks, address)
        if record:
            data[key] = network
            data.setdefault("net_asn", a_number(record.get("autonomous_system_number")))
            data.setdefault("net_asn_org", a_text(record.get("autonomous_system_organization")))
    if data.get("net_asn") is None:
        return failed(Check.NET, "the file does not know the address" if v4 or v6 else "no address", data)
    return succeeded(Check.NET, data)


def geohash(lat: float, lon: float, precision: int) -> str:
    """The cell of that many characters, five bits each, that a place is in."""
    bounds = {"lon": [-180.0, 180.0], "lat": [-90.0, 90.0]}
    bits = 0
    for number in range(5 * precision):
        axis, value = ("lat", lat) if number % 2 else ("lon", lon)
        low, high = bounds[axis]
        middle = (low + high) / 2
        is_above = value >= middle
        bounds[axis] = [middle, high] if is_above else [low, middle]
        bits = bits << 1 | is_above
    return "".join(_BASE32[bits >> 5 * place & 31] for place in reversed(range(precision)))


def _record(reader: Reader, address: str) -> tuple[dict[str, Any], str]:
    """The record of an address, and its network; nothing for IPv6 where the file is of IPv4."""
    try:
        record, length = reader.get_with_prefix_len(address)
    except ValueError:
        return {}, ""
    network = str(ipaddress.ip_network((address, length), strict=False))
    return (record, network) if isinstance(record, dict) else ({}, network)


def _part(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _name(part: dict[str, Any]) -> str | None:
    return a_text(_part(part, "names").get("en"))


def _degrees(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) <= 180 else None
