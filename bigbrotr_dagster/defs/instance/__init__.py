"""Dagster's instance, made ours: where it reads its files and keeps its runs, and its inner parts that we use.

`home` writes dagster.yaml and workspace.yaml; `storage` is the class that dagster.yaml names, and `event_log` a
part of it; `partition_events` writes and reads what Dagster knows of single partitions, `pruning` keeps it small.
All that is taken of Dagster's private modules and attributes is in `private_parts`. Only `home` is imported here:
it needs no Dagster. Start reading at `storage`.
"""

from bigbrotr_dagster.defs.instance.home import HomeError, initialize, prepare_home, tell_of_home

__all__ = [
    "HomeError",
    "event_log",
    "initialize",
    "partition_events",
    "prepare_home",
    "pruning",
    "storage",
    "tell_of_home",
]
