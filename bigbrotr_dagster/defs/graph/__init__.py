"""What all parts of the graph share: its asset keys, its partitions, and how texts stand in Dagster's pages.

`partitions` has the names, `markdown` and `lists` the texts: a relay's words are a stranger's, and stay words.
Start reading at `partitions`.
"""

from bigbrotr_dagster.defs.graph.lists import listing
from bigbrotr_dagster.defs.graph.markdown import as_block, as_text
from bigbrotr_dagster.defs.graph.partitions import (
    ARCHIVE_COVERAGE,
    ARCHIVE_STATS,
    OWNERS,
    RELAY_CURSOR,
    RELAY_HEALTH,
    RELAY_PARTITIONS,
    RELAYS,
    asset_key,
    fresh_within_hours,
)

__all__ = [
    "ARCHIVE_COVERAGE",
    "ARCHIVE_STATS",
    "OWNERS",
    "RELAYS",
    "RELAY_CURSOR",
    "RELAY_HEALTH",
    "RELAY_PARTITIONS",
    "as_block",
    "as_text",
    "asset_key",
    "fresh_within_hours",
    "listing",
]
