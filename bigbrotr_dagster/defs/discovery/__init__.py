"""Where relays come from, as assets: `relay_candidates`, and `relay_validated`, which registers the real ones.

`assets` has both, with the check that our own line is there; `job` runs them when there is something to do. What
is done is in the room `discovery`, one floor down. Start reading at `assets`.
"""

from bigbrotr_dagster.defs.discovery.assets import relay_candidates, relay_validated
from bigbrotr_dagster.defs.discovery.job import relay_discovery, relay_discovery_sensor

__all__ = ["relay_candidates", "relay_discovery", "relay_discovery_sensor", "relay_validated"]
