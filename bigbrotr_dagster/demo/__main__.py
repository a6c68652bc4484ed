"""`python -m bigbrotr_dagster.demo`: serve the practice relays until interrupted."""

import asyncio
import signal
import sys

from bigbrotr_dagster.demo.background import UNTIL_INPUT_ENDS
from bigbrotr_dagster.demo.practice import PortInUse, practice_relays


async def main() -> int:
    """Serve until a signal, or the end of standard input where that was asked for; returns the exit code."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if UNTIL_INPUT_ENDS in sys.argv:
        loop.add_reader(sys.stdin, stopped.set)  # nobody writes to it: there is nothing to read but its end
    try:
        async with practice_relays() as urls:
            print("practice relays:", *urls, flush=True)
            await stopped.wait()
    except PortInUse as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
