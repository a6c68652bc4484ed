"""What a check leaves on a relay's partition: numbers, which the UI plots over time, and what the relay says."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import RELAY_HEALTH
from bigbrotr_dagster.defs.health.checks import certificate_check, dead_check, expires_soon, is_dead
from bigbrotr_dagster.defs.instance.partition_events import Recordable, RunContext, is_partitioned
from bigbrotr_dagster.defs.runs import FROM_THE_REGISTRY, Records
from bigbrotr_dagster.discovery.health import KnownHealth, RelayHealth
from bigbrotr_dagster.nostr.text import safe_line

MOST_TEXT = 200
"""Characters of what a relay says of itself."""


class HealthRecords(Records[RelayHealth]):
    """Writes what checks found; `before` is how the relays were, by URL."""

    def __init__(
        self, context: RunContext, options: SynchronizerConfig, before: Mapping[str, KnownHealth]
    ) -> None:
        super().__init__(context, self._told)
        self._options = options
        self._before = before
        self._is_partitioned = is_partitioned(context)

    def _told(self, health: RelayHealth) -> list[Recordable]:
        """A materialization; a check where it fails, or failed before, or partitions were asked for."""
        events: list[Recordable] = [
            dg.AssetMaterialization(
                RELAY_HEALTH, partition=health.url, metadata=health_metadata(health), tags=FROM_THE_REGISTRY
            )
        ]
        before, options = self._before.get(health.url), self._options
        has_certificate = health.certificate_expires_at is not None
        if has_certificate and self._tells(expires_soon, health, before):
            events.append(certificate_check(health, options))
        if self._tells(is_dead, health, before):
            events.append(dead_check(health, options))
        return events

    def _tells(self, is_bad: Any, health: RelayHealth, before: KnownHealth | None) -> bool:
        was_bad = before is not None and is_bad(before, self._options)
        return self._is_partitioned or was_bad or is_bad(health, self._options)


def health_metadata(health: RelayHealth) -> Mapping[str, Any]:
    """How a relay is, as metadata: each only where the check brought it."""
    metadata: dict[str, Any] = {"network": health.network, "alive": int(health.alive)}
    for key, check, name in (
        ("rtt_open_ms", "nip66_rtt", "rtt_open"),
        ("rtt_read_ms", "nip66_rtt", "rtt_read"),
        ("rtt_write_ms", "nip66_rtt", "rtt_write"),
        ("asn", "nip66_net", "net_asn"),
    ):
        metadata[key] = health.found(check, name)
    for key, check, name in (
        ("software", "nip11_info", "software"),
        ("version", "nip11_info", "version"),
        ("name", "nip11_info", "name"),
        ("server", "nip66_http", "http_server"),
        ("certificate_issuer", "nip66_ssl", "ssl_issuer"),
        ("country", "nip66_geo", "geo_country"),
    ):
        said = health.found(check, name)
        metadata[key] = safe_line(said, MOST_TEXT) if said else None
    nips = health.found("nip11_info", "supported_nips")
    metadata["nips"] = ", ".join(map(str, nips)) if nips else None
    limits = health.found("nip11_info", "limitation")
    metadata["limits"] = dg.MetadataValue.json(limits) if limits else None
    for key, second in (
        ("certificate_expires", health.certificate_expires_at),
        ("dead_since", health.dead_since),
    ):
        metadata[key] = _moment(second)
    metadata["reason"] = safe_line(health.reason) if health.reason else None
    return {key: value for key, value in metadata.items() if value is not None}


def _moment(second: int | None) -> dg.TimestampMetadataValue | None:
    return None if second is None else dg.MetadataValue.timestamp(float(second))
