"""How the graph stands in a Dagster project: its key prefix, its archive, the options that a component gives it.

Asset keys are read when the modules of the graph are imported, so whoever wants other settings applies them before
that, in every process that loads the definitions: `ArchiveComponent` does. Nothing here imports Dagster. Start
reading at `applied`.
"""

from bigbrotr_dagster.defs.settings.applied import (
    GraphSettings,
    SettingsError,
    apply_settings,
    archive_url,
    configuration,
    graph_settings,
)

__all__ = [
    "GraphSettings",
    "SettingsError",
    "apply_settings",
    "archive_url",
    "configuration",
    "graph_settings",
]
