"""A PostgreSQL of our own, for who has none: it runs while a process uses it.

`leases` counts who does; `postgres_server` starts and stops it, `postgres_cluster` makes its data, in an account
that is not root's (`server_account`); `postgres_programs` finds the programs, `postgres_upgrade` moves the data of
an older major version. Start reading at `leases`.
"""

from bigbrotr_dagster.storage.embedded.leases import exists, leave, start, status, stop, stop_unused, upgrade
from bigbrotr_dagster.storage.embedded.postgres_programs import binaries
from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable

__all__ = [
    "EmbeddedUnavailable",
    "binaries",
    "exists",
    "leave",
    "start",
    "status",
    "stop",
    "stop_unused",
    "upgrade",
]
