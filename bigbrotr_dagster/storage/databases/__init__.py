"""Databases on the server: the archive's own, brought up to date, and the one that Dagster keeps its runs in.

Start reading at `create`; `migrations` applies `sql/migrations/`, `dagster_database` says which one is Dagster's.
`bigbrotr` tells a database of BigBrotr's, and `adoption` takes it over.
"""

from bigbrotr_dagster.storage.databases.adoption import Progress, adopt, undo
from bigbrotr_dagster.storage.databases.bigbrotr import AdoptionRefused
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
    "AdoptionRefused",
    "Progress",
    "adopt",
    "archive_identity",
    "dagster_database_url",
    "ensure_database",
    "ensure_readable",
    "grants_for",
    "undo",
]
