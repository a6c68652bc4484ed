"""The options of the monitor: how often relays are looked after, and what is kept of it.

The names are BigBrotr's where they mean the same.
"""

from pydantic import Field

from bigbrotr_dagster.config.section import Options


class GeoConfig(Options):
    """MaxMind's files (GeoLite2 or GeoIP2), which the operator has to get; they need the extra `geo`."""

    city_database_path: str | None = None
    """File of cities: where a relay's address is. null: that is not looked up."""
    asn_database_path: str | None = None
    """File of networks: whose a relay's address is. null: that is not looked up."""
    geohash_precision: int = Field(default=9, ge=1, le=12)
    """Characters of `geo_hash`."""


class MonitorConfig(Options):
    """How relays are, checked from time to time."""

    enabled: bool | None = None
    """Check relays in the daemon. null: as `discovery.enabled`."""
    interval: float = Field(default=14_400.0, ge=60, le=604_800)
    """Seconds between two checks of a relay."""
    relays_per_run: int = Field(default=500, ge=1, le=10_000)
    """Relays that one scheduled run checks."""
    nip11_info_max_size: int = Field(default=128 * 1024, ge=1024, le=10 * 2**20)
    """Bytes of a NIP-11 document; a longer one is not read. At most 128 KiB of what it says are kept."""
    dead_days: float = Field(default=7.0, gt=0)
    """Days without a sign of life after which a relay's check `relay_dead` fails."""
    certificate_days: float = Field(default=14.0, ge=0)
    """Days before the end of its certificate from which on a relay's check `certificate_expires` fails."""
    write_test: bool = False
    """Write, too: each check publishes an ephemeral event (kind 22456), signed by the key of `keys.keys_env`."""
    geo: GeoConfig = GeoConfig()
