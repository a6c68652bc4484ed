"""Which hostile relays are archived as promised: `python -m tests.sync.hostile_report [--pairs N] [WORD ...]`.

One line per relay, failures first. WORDs select the relays whose name has any of them in it.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database
from tests.sync import oracle
from tests.sync.oracle import far_modes, first_lines, pairs, single_modes, verdicts_on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs instead of the single modes")
    parser.add_argument("--seed", type=int, default=3, help="of the pairs")
    parser.add_argument("--seconds", type=int, default=oracle.ROUND_SECONDS, help="that one sync may take")
    parser.add_argument("--far", action="store_true", help="the single modes at a distance")
    given = parser.parse_args()
    oracle.ROUND_SECONDS = given.seconds
    relays = far_modes() if given.far else single_modes()
    if given.pairs:
        relays = pairs(given.pairs, given.seed)
    chosen = {
        name: relay for name, relay in relays.items() if not given.words or any(w in name for w in given.words)
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        server = embedded.start(Path(folder))
        try:
            ensure_database(in_database(server, "template"))
            verdicts = list(verdicts_on(server, chosen).values())
        finally:
            embedded.leave(Path(folder))
    failed = sum(bool(verdict.broken) for verdict in verdicts)
    print(first_lines(verdicts))
    print(f"{failed} of {len(verdicts)} fail; {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
