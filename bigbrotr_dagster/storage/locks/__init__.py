"""Locks that count over all processes: PostgreSQL's session advisory locks, which no killed process leaves behind.

`keeper` holds a sync's: one holder per relay, so many slots per network and host. `runs` has a run's, by
which others see that it lives. Start reading at `keeper`.
"""

from bigbrotr_dagster.storage.locks.keeper import POLL, LockKeeper, lock_keeper, lock_key
from bigbrotr_dagster.storage.locks.runs import held_runs, run_key, run_lock

__all__ = ["POLL", "LockKeeper", "held_runs", "lock_keeper", "lock_key", "run_key", "run_lock"]
