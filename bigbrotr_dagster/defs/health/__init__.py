"""How relays are, in Dagster: the asset that checks them, and what its pages show.

`assets` has `relay_health`, `records` what a check leaves on a relay's partition, `checks` what is judged with it.
What is checked, and how it is stored, is in `discovery.health`. Start reading at `assets`.
"""

from bigbrotr_dagster.defs.health.assets import relay_health
from bigbrotr_dagster.defs.health.checks import alive_by_network

__all__ = ["alive_by_network", "relay_health"]
