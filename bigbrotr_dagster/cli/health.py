"""What `relays health` says of the relays that it checked."""

from typing import Any

from bigbrotr_dagster.cli.common import shown_time
from bigbrotr_dagster.discovery.health import HealthReport, RelayHealth
from bigbrotr_dagster.nostr.text import safe_line

FIGURES = {
    "rtt_open_ms": ("nip66_rtt", "rtt_open"),
    "rtt_read_ms": ("nip66_rtt", "rtt_read"),
    "rtt_write_ms": ("nip66_rtt", "rtt_write"),
    "software": ("nip11_info", "software"),
    "version": ("nip11_info", "version"),
    "nips": ("nip11_info", "supported_nips"),
    "limits": ("nip11_info", "limitation"),
}
"""What is told of each relay in JSON: the document and the key that have it."""


def health_line(health: RelayHealth) -> str:
    """One line on a relay."""
    words = [health.network, health.url, "alive" if health.alive else f"dead: {health.reason}"]
    for name in ("open", "read"):
        took = health.found("nip66_rtt", f"rtt_{name}")
        words += [] if took is None else [f"{name} {took} ms"]
    software = health.found("nip11_info", "software")
    words += [safe_line(software)] if software else []
    if health.certificate_expires_at is not None:
        words.append(f"certificate until {shown_time(health.certificate_expires_at)}")
    return "\t".join(words)


def health_json(report: HealthReport) -> dict[str, Any]:
    """The object of `--json`; what was not found is null."""
    return {
        "relays": len(report.relays),
        "alive": report.alive,
        "dead": len(report.relays) - report.alive,
        "not_checked": dict(report.missed()),
        "seconds": round(report.seconds, 3),
        "per_relay": [_relay_json(health) for health in report.relays],
    }


def _relay_json(health: RelayHealth) -> dict[str, Any]:
    told = {
        "url": health.url,
        "network": health.network,
        "checked_at": health.checked_at,
        "alive": health.alive,
        "reason": health.reason,
        "dead_since": health.dead_since,
        "certificate_expires_at": health.certificate_expires_at,
    }
    return told | {name: health.found(*place) for name, place in FIGURES.items()}
