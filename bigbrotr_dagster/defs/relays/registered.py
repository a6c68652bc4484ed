"""What asset `relays` shows of the registry."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.registry import RegisteredRelay

NEXT_STEP = (
    "No relay is registered. Add one: launch the job `add_relays`, add a partition to `relay_cursor`, "
    "or run `bigbrotr-dagster relays add URL`."
)


def registry_metadata(relays: Sequence[RegisteredRelay]) -> dict[str, Any]:
    """Number of relays, in all and by network; where there is none, what to do next."""
    by_network = Counter(str(relay.network) for relay in relays)
    metadata: dict[str, Any] = {
        "dagster/row_count": len(relays),
        **{f"relays_{name}": n for name, n in sorted(by_network.items())},
    }
    if not relays:
        metadata["next_step"] = dg.MetadataValue.md(NEXT_STEP)
    return metadata
