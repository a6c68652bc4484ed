"""What comes out of the archive: `event_day`, a partition for each UTC day, as Parquet files.

`assets` has it, `records` what is told of a day, `job` when days are written. What is done is in the room
`archive.export`, one floor down. Start reading at `assets`.
"""

from bigbrotr_dagster.defs.data_sets.assets import event_day
from bigbrotr_dagster.defs.data_sets.job import export_days, export_days_sensor

__all__ = ["event_day", "export_days", "export_days_sensor"]
