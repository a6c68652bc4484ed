"""The options of data sets: where they are written, and when a day is."""

from pydantic import Field

from bigbrotr_dagster.config.section import Options


class ExportConfig(Options):
    """Days of the archive as Parquet files (docs/data-sets.md); they need the extra `export`."""

    to: str | None = None
    """Folder that `export` writes to. null: `--to` has to name one."""
    share: float = Field(default=0.9, ge=0, le=1)
    """Of the relays, how many have to prove a day before it is written by itself."""
