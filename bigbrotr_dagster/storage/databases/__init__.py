"""Databases on the server: the archive's own, brought up to date, and the one that Dagster keeps its runs in.

Start reading at `create`; `migrations` applies `sql/migrations/`, `dagster_database` says which one is Dagster's.
"""

from bigbrotr_dagster.storage.databases.create import ensure_database, ensure_readable
from bigbrotr_dagster.storage.databases.dagster_database import (
    DAGSTER_VARIABLE,
    OWNER_KEY,
    archive_identity,
    dagster_database_url,
)
from bigbrotr_dagster.storage.databases.grants import grants_for

__all__ = [
    "DAGSTER_VARIABLE",
    "OWNER_KEY",
    "archive_identity",
    "dagster_database_url",
    "ensure_database",
    "ensure_readable",
    "grants_for",
]
