"""What BigBrotr 6.6.9's Validator and Monitor do with a database, by their own code, in an environment of theirs.

    python bigbrotr_services.py SOCKET_FOLDER DATABASE

It prints JSON: whom the Validator would try, and whom the Monitor would check, before and after they have done so.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

LATER = 2_000_000_000


async def services(host: str, database: str) -> dict[str, Any]:
    from bigbrotr.core.brotr import Brotr
    from bigbrotr.models import Relay, RelayMetadata
    from bigbrotr.models.constants import NetworkType
    from bigbrotr.models.metadata import Metadata, MetadataType
    from bigbrotr.services.monitor import queries as monitor
    from bigbrotr.services.validator import queries as validator

    clearnet = [NetworkType.CLEARNET]
    found: dict[str, Any] = {}
    brotr = Brotr.from_dict({"pool": {"database": {"host": host, "database": database, "user": "postgres"}}})
    async with brotr:
        candidates = await validator.fetch_candidates(brotr, clearnet, LATER, 100)
        found["candidates"] = sorted(one.key for one in candidates)
        found["failed"] = await validator.fail_candidates(brotr, candidates[1:])
        found["promoted"] = await validator.promote_candidates(brotr, candidates[:1])
        relays = await monitor.fetch_relays_to_monitor(brotr, LATER, clearnet)
        found["to_monitor"] = sorted(relay.url for relay in relays)
        document = Metadata(type=MetadataType.NIP11_INFO, data={"data": {"name": "theirs"}, "logs": {}})
        checks = [RelayMetadata(Relay(relay.url), document, generated_at=int(time.time())) for relay in relays]
        found["checks"] = await monitor.insert_relay_metadata(brotr, checks)
        await monitor.upsert_monitor_checkpoints(brotr, relays, int(time.time()))
        await brotr.refresh_materialized_view("relay_metadata_latest")
        left = await monitor.fetch_relays_to_monitor(brotr, int(time.time()) - 60, clearnet)
        found["left_to_monitor"] = sorted(relay.url for relay in left)
    return found


if __name__ == "__main__":
    os.environ.setdefault("NOSTR_PRIVATE_KEY", "1" * 64)
    os.environ.setdefault("DB_ADMIN_PASSWORD", "not asked for on the socket")
    print(json.dumps(asyncio.run(services(*sys.argv[1:]))))
