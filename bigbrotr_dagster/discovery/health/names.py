"""nip66_dns: what DNS says of a relay's name. It is noted, private addresses too; nothing is dialled."""

import asyncio
import ipaddress

from bigbrotr_dagster.discovery.health.documents import Check, Document, failed, some, storable, succeeded
from bigbrotr_dagster.nostr.address import is_private_address
from bigbrotr_dagster.nostr.resolver import Record, Resolver

MAX_NAME = 253
"""Characters of a name."""

MOST = 16
"""Records of one kind that are kept."""

LEAST_LABELS = 2
"""Of a name that somebody may own; top-level domains are not asked for."""


async def dns_document(names: Resolver, host: str, within: float) -> Document:
    """Ask for the addresses of `host`, and if it has some for the nameservers of its zone and its reverse name.

    `within`: seconds for each question; they are asked side by side where none needs another's answer.
    """
    answers = await asyncio.gather(*(names.records(host, kind, within=within) for kind in ("A", "AAAA")))
    found = [record for answer in answers for record in answer]
    ips, ips_v6, aliases = (_values(found, kind) for kind in ("A", "AAAA", "CNAME"))
    if not (ips or ips_v6):
        return failed(Check.DNS, f"no address found for {host}")
    servers, reverse = await asyncio.gather(_nameservers(names, host, within), _reverse(names, ips, within))
    return succeeded(
        Check.DNS,
        {
            "dns_ips": ips,
            "dns_ips_v6": ips_v6,
            "dns_cname": aliases[0] if aliases else None,
            "dns_ns": servers,
            "dns_reverse": reverse,
            "dns_ttl": min(record.ttl for record in found),
        },
    )


async def _nameservers(names: Resolver, host: str, within: float) -> list[str] | None:
    """Those of the nearest zone above: of the name itself, or of what it is below."""
    labels = host.split(".")
    for start in range(len(labels) - LEAST_LABELS + 1):
        zone = ".".join(labels[start:])
        servers = _values(await names.records(zone, "NS", within=within), "NS")
        if servers:
            return sorted(servers)
    return None


async def _reverse(names: Resolver, ips: list[str] | None, within: float) -> str | None:
    """The name of the first address; a private one is asked of nobody, for the answer would be about us."""
    if not ips or is_private_address(ips[0]):
        return None
    pointer = ipaddress.ip_address(ips[0]).reverse_pointer
    found = _values(await names.records(pointer, "PTR", within=within), "PTR")
    return found[0] if found else None


def _values(records: list[Record], kind: str) -> list[str] | None:
    values = [storable(record.value.rstrip("."), MAX_NAME) for record in records if record.kind == kind]
    return some(dict.fromkeys(values[:MOST]))
