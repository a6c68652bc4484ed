"""The options: their names, defaults and units (`options`), and the file that sets them (`file`).

Nothing here knows a relay, a database or Dagster: a value that is checked, and a line that says what is wrong with
it. An option belongs into `options`, or `discovery`, in the section that its effect belongs to, and into
docs/configuration.md.
Start reading at `SynchronizerConfig`.
"""

from bigbrotr_dagster.config.discovery import ApiConfig, DiscoveryConfig
from bigbrotr_dagster.config.file import (
    ALLOW_PRIVATE_VARIABLE,
    DISCOVERY_VARIABLE,
    ConfigError,
    for_one_run,
    load_config,
)
from bigbrotr_dagster.config.options import (
    NetworkConfig,
    ProcessingConfig,
    SynchronizerConfig,
    reachable_networks,
    run_network,
)

__all__ = [
    "ALLOW_PRIVATE_VARIABLE",
    "DISCOVERY_VARIABLE",
    "ApiConfig",
    "ConfigError",
    "DiscoveryConfig",
    "NetworkConfig",
    "ProcessingConfig",
    "SynchronizerConfig",
    "for_one_run",
    "load_config",
    "reachable_networks",
    "run_network",
]
