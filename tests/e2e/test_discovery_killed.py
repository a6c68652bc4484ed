"""`relays discover`, killed by SIGKILL at ten moments of scan and validation: nothing lost, nothing twice."""

import signal
import time
from pathlib import Path

import pytest

from tests.defs.helpers import Relays
from tests.discovery.archived import archive, naming
from tests.discovery.strangers import FALSE, strangers
from tests.e2e.program import run, start
from tests.sync.helpers import ask

pytestmark = pytest.mark.slow

KILLS, AUTHORS = 10, 40


def test_a_kill_at_any_moment_loses_nothing_and_counts_nothing_twice(database: str, tmp_path: Path) -> None:
    config = tmp_path / "synchronizer.yaml"
    config.write_text(
        "allow_private: true\n"
        "networks: {clearnet: {timeout: 2, max_tasks: 4}}\n"
        "discovery: {max_per_host: 1000, events: {batch_size: 20}}\n"
    )
    command = ["relays", "discover", "--once", "--json", "--config", str(config)]
    with Relays() as relays:
        servers = relays.enter(strangers())
        true = [relays.run(servers.relay()) for _ in range(20)]
        false = [relays.run(servers.server(FALSE[name])) for name in [*FALSE] * 2]
        archive(database, [naming(*true, *false, author=f"a{n}") for n in range(AUTHORS)])
        for number in range(KILLS):
            process = start(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
            reads = "SELECT coalesce(sum(mentions), 0), count(promoted_at) FROM relay_candidate"
            before, deadline = ask(database, reads), time.monotonic() + 30
            # In turn as soon as something was written, and a while later: in scans, tries, and between them.
            while process.poll() is None and ask(database, reads) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.15 * (number % 5))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            archive(database, [naming(*true, *false, author=f"b{number}")])
        last = run(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
        assert last.code == 0, last.stderr
        assert {url for (url,) in ask(database, "SELECT url FROM relay")} == set(true)
        assert ask(database, "SELECT url FROM relay_candidate WHERE promoted_at IS NULL ORDER BY url") == sorted(
            (url,) for url in false
        )
        counts = ask(database, f"SELECT DISTINCT mentions FROM relay_candidate WHERE url IN ({quoted(false)})")
        assert counts == [(AUTHORS + KILLS,)]
        assert ask(database, f"SELECT min(failures) FROM relay_candidate WHERE url IN ({quoted(false)})") == [(1,)]
        assert max(servers.connections[url] for url in true) <= 1 + KILLS


def quoted(urls: list[str]) -> str:
    return ", ".join(f"'{url}'" for url in urls)
