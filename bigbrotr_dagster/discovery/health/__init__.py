"""How relays are: what each says of itself, how fast it answers, its certificate, name and place.

A module for each check makes a document of what came, without I/O: `information` (NIP-11), `round_trips`,
`certificates`, `names` (DNS), `places` (MaxMind's files); `documents` has their form, which is BigBrotr's. `probe`
asks one relay (`writing` only where that is asked for), `run` many, `doubt` tells dead relays from a line of ours
that is down, `store` writes what is believed, `state` reads it. Start reading at `run`, then `probe`.
"""

from bigbrotr_dagster.discovery.health.run import HealthReport, check_relays
from bigbrotr_dagster.discovery.health.state import (
    KnownHealth,
    NetworkHealth,
    checked_since,
    health_of_all,
    known_health,
    network_health,
    relays_due,
)
from bigbrotr_dagster.discovery.health.store import RelayHealth

__all__ = [
    "HealthReport",
    "KnownHealth",
    "NetworkHealth",
    "RelayHealth",
    "check_relays",
    "checked_since",
    "health_of_all",
    "known_health",
    "network_health",
    "relays_due",
]
