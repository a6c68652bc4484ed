"""The options: their names, defaults and units (`options`), and the file that sets them (`file`).

Nothing here knows a relay, a database or Dagster: a value that is checked, and a line that says what is wrong with
it. An option belongs into `options`, `discovery`, `monitor` or `export`, in the section that its effect belongs
to, and into docs/configuration.md. `inspection` tells a person what holds and why, and what is wrong with a file;
`variables` names the environment variables that set options.
Start reading at `SynchronizerConfig`.
"""

from bigbrotr_dagster.config import inspection, variables
from bigbrotr_dagster.config.discovery import ApiConfig, DiscoveryConfig
from bigbrotr_dagster.config.file import ConfigError, for_one_run, load_config
from bigbrotr_dagster.config.options import (
    NetworkConfig,
    ProcessingConfig,
    SynchronizerConfig,
    reachable_networks,
    run_network,
)

__all__ = [
    "ApiConfig",
    "ConfigError",
    "DiscoveryConfig",
    "NetworkConfig",
    "ProcessingConfig",
    "SynchronizerConfig",
    "for_one_run",
    "inspection",
    "load_config",
    "reachable_networks",
    "run_network",
    "variables",
]
