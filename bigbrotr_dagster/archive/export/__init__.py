"""Data sets: the archive as Parquet files, a folder for each day (docs/data-sets.md).

- `run`: which days are written, one after another. `due`: which of them are due. `day`: what belongs to a day.
- `snapshot`: one day in one transaction. `tables`: its columns, typed, as Parquet (pyarrow, an extra).
- `coverage`: which relays prove a day. `manifest`: what is said of it, in the data set itself.
- `places`: where a data set can be, and what any place does. `folder` and `bucket`: how a day takes the place of
  an older one there.

Nothing here changes the archive. Start reading at `run`.
"""

from bigbrotr_dagster.archive.export.errors import ExportRefused, PlaceInUse
from bigbrotr_dagster.archive.export.manifest import Manifest
from bigbrotr_dagster.archive.export.run import Due, ExportedDay, export, look, need_arrow, parsed_day

__all__ = [
    "Due",
    "ExportRefused",
    "ExportedDay",
    "Manifest",
    "PlaceInUse",
    "export",
    "look",
    "need_arrow",
    "parsed_day",
]
