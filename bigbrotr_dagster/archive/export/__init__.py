"""Data sets: the archive as Parquet files, a folder for each day (docs/data-sets.md).

- `run`: which days are written, one after another. `due`: which of them are due. `day`: what belongs to a day.
- `snapshot`: one day in one transaction. `tables`: its columns, typed, as Parquet (pyarrow, an extra).
- `coverage`: which relays prove a day. `folder`: where files lie, and how a day takes the place of an older one.

Nothing here changes the archive. Start reading at `run`.
"""

from bigbrotr_dagster.archive.export.errors import ExportRefused
from bigbrotr_dagster.archive.export.run import ExportedDay, export, parsed_day

__all__ = ["ExportRefused", "ExportedDay", "export", "parsed_day"]
