"""Which tests run beside which: several processes share the suite, and each file is one process's, start to end.

So a file's servers are started once. What waits most of its time costs the others nothing: there are two
processes for each core. The longest files come first, else the last of them would be waited for alone.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from zlib import crc32

import pytest
from xdist.scheduler import LoadFileScheduling

PROCESSES_PER_CORE = 2
MOST_PROCESSES = 8
"""More would start servers for a few files each."""

TOGETHER = {
    "tests/e2e/test_demo_killed.py": "one `dev`",
    "tests/e2e/test_browser.py": "one `dev`",
    "tests/e2e/test_browser_event_day.py": "one `dev`",
    "tests/e2e/test_cross_site.py": "one `dev`",
    "tests/e2e/test_dev.py": "one `dev`",
}
"""Files that share what is dear to start, or is there once, in this order: they are one process's, as one file."""

SHARES = {"tests/sync/test_hostile.py": 4}
"""Files whose parametrized tests are so many processes' work: each does those of a share together."""

LONGEST = (
    "tests/sync/test_hostile.py 0",
    "tests/defs/test_clicks.py",
    "tests/sync/test_hostile.py 1",
    "tests/e2e/test_failing_servers.py",
    "tests/sync/test_week.py",
    "tests/deploy/test_celery.py",
    "tests/sync/test_hostile.py 2",
    "one `dev`",
    "tests/sync/test_hostile.py 3",
    "tests/e2e/test_sync_command.py",
    "tests/e2e/test_relay_programs.py",
    "tests/windowing/test_walk.py",
    "tests/defs/test_daemon.py",
    "tests/defs/test_dead_runs.py",
    "tests/sync/test_late_events.py",
    "tests/storage/test_run_lock.py",
    "tests/windowing/test_ages.py",
    "tests/defs/test_caps.py",
    "tests/e2e/test_component.py",
    "tests/e2e/test_discovery.py",
    "tests/nostr/test_hostile_reconciling.py",
    "tests/sync/test_month.py",
    "tests/e2e/test_dev_killed.py",
    "tests/windowing/test_transitions.py",
    "tests/defs/test_interrupted.py",
    "tests/sync/test_ages.py",
    "tests/sync/test_leave_out.py",
    "tests/sync/test_fairness.py",
)
"""Files that take half a minute or more, or what `TOGETHER` calls several of them; the longest first, those that
compute between those that wait: both are under way at once then.
"""


def processes(files: Sequence[str]) -> int:
    """How many to start for the tests in these files and folders; 0 is none but pytest's own."""
    one_file = len(files) == 1 and Path(files[0].partition("::")[0]).is_file()
    return 0 if one_file else min(MOST_PROCESSES, PROCESSES_PER_CORE * len(os.sched_getaffinity(0)))


def unit(nodeid: str) -> str:
    """What a test is a part of: all of it runs in one process, in order."""
    file, _, rest = nodeid.partition("::")
    if file in SHARES:
        return f"{file} {share(file, rest.partition('[')[2].removesuffix(']'))}"
    return TOGETHER.get(file, file)


def share(file: str, parameter: str) -> int:
    """Which of a file's shares a test belongs to, by what it is given: the same in every process."""
    return crc32(parameter.encode()) % SHARES[file]


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The same, unit after unit; within each, file after file, and each of these as it is."""
    places = {name: place for place, name in enumerate(LONGEST)}
    files = {name: place for place, name in enumerate(TOGETHER)}

    def place(item: pytest.Item) -> tuple[int, int, bool]:
        file = item.nodeid.partition("::")[0]
        is_fast = item.get_closest_marker("slow") is None
        return places.get(unit(item.nodeid), len(places)), files.get(file, len(files)), is_fast

    return sorted(items, key=place)


class InUnits(LoadFileScheduling):
    """Hands out units in the order in which their first tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
