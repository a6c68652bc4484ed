"""One cycle of BigBrotr 6.6.9's Synchronizer, in its own virtual environment, with its own configuration.

    python bigbrotr_runner.py '{"host": SOCKET FOLDER, "database": NAME, "relay": URL}'

Two things are changed: relays on 127.0.0.1 are let through as clearnet, for its model refuses them, and its clocks
are read. They run from the first REQ until the cycle has returned, which is after the last commit.
"""

import asyncio
import json
import os
import sys
from typing import Any

# This file's folder is on sys.path: nothing of ours is installed here.
from metering import Meter  # type: ignore[import-not-found]

LOOPBACK = "ws://127.0.0.1:"


def let_loopback_through() -> None:
    from bigbrotr.models import relay

    detect, sanitize = relay._detect_network, relay.sanitize_relay_url
    relay._detect_network = lambda host: relay.NetworkType.CLEARNET if host == "127.0.0.1" else detect(host)
    relay.sanitize_relay_url = lambda raw: raw if raw.startswith(LOOPBACK) else sanitize(raw)


async def cycle(host: str, database: str, relay: str) -> dict[str, Any]:
    """Register `relay` and run what `bigbrotr synchronizer --once` runs; every other relay is left alone."""
    from bigbrotr.core.brotr import Brotr
    from bigbrotr.models import Relay
    from bigbrotr.services.synchronizer import Synchronizer
    from nostr_sdk import Client  # type: ignore[import-untyped]

    meter = Meter()
    meter.watch(Client, "stream_events")
    brotr = Brotr.from_dict({"pool": {"database": {"host": host, "database": database, "user": "postgres"}}})
    async with brotr:
        await brotr.execute("UPDATE relay SET network = 'set aside'")
        await brotr.insert_relay([Relay(relay)])
        service = Synchronizer.from_dict({"processing": {"end_lag": 0}}, brotr=brotr)
        async with service:
            await service.run()
        cost: dict[str, Any] = meter.read()
        return cost


if __name__ == "__main__":
    os.environ.setdefault("NOSTR_PRIVATE_KEY", "1" * 64)
    os.environ.setdefault("DB_ADMIN_PASSWORD", "not asked for on the socket")
    let_loopback_through()
    print(json.dumps(asyncio.run(cycle(**json.loads(sys.argv[1])))))
