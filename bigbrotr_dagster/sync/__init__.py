"""The only room that joins the walk, the wire and the database: one relay's sync, and many relays'.

What syncs is here, and nothing else: `cycle` syncs many relays, under `caps`, `attempt` one of them with its row
in the ledger of attempts, `relay` is the conversation, `asking` one request of it, `history` what is held and what
is left to ask for, `report` what came of it. What is asked of the archive afterwards belongs into `archive`. Start
reading at `cycle`, then `relay`.
"""

from bigbrotr_dagster.sync.cycle import BUSY_WAIT, sync_relays
from bigbrotr_dagster.sync.history import cursor_claims, open_history
from bigbrotr_dagster.sync.report import (
    LEFT_OUT_NAMED,
    REJECTIONS,
    CycleReport,
    Progress,
    RelayReport,
    watched,
)
from bigbrotr_dagster.sync.work_queue import askable

__all__ = [
    "BUSY_WAIT",
    "LEFT_OUT_NAMED",
    "REJECTIONS",
    "CycleReport",
    "Progress",
    "RelayReport",
    "askable",
    "caps",
    "cursor_claims",
    "open_history",
    "sync_relays",
    "watched",
]
