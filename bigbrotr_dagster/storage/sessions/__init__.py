"""Sessions with the archive's server: a short one (`connect`), or a pool of them (`open_pool`, `retried`).

Whoever needs the server begins here: every session is in UTF-8, in UTC, with our timeouts, and on a backend of its
own (`session`; `pooler` finds those that share backends). `pool` waits out a restart. Start reading at `session`.
"""

from bigbrotr_dagster.storage.sessions.pool import (
    RETRY_DELAYS,
    AsyncConnection,
    Pool,
    is_back,
    is_given_up,
    open_pool,
    retried,
)
from bigbrotr_dagster.storage.sessions.session import (
    PARAMETERS,
    BlockingConnection,
    connect,
    connect_async,
    settings,
)

__all__ = [
    "PARAMETERS",
    "RETRY_DELAYS",
    "AsyncConnection",
    "BlockingConnection",
    "Pool",
    "connect",
    "connect_async",
    "is_back",
    "is_given_up",
    "open_pool",
    "retried",
    "settings",
]
