"""What it costs to look through archived events for relays: `python -m tests.benchmarks.discovery`.

100,000 events of 5,000 authors: relay lists, notes with hints, reactions, follow lists; they name 1,000 relays.
Then one author names a million made-up ones. CPU is that of this process and of PostgreSQL.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.scan import scan
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import database_url
from bigbrotr_dagster.storage.databases import ensure_database
from tests.benchmarks.cycle import measured
from tests.discovery.archived import Made, archive, naming
from tests.e2e.program import peak_memory
from tests.sync.helpers import ask

EVENTS, RELAYS, AUTHORS = 100_000, 1_000, 5_000
FLOOD, EACH = 2_000, 500
URLS = [f"wss://r{number}.example.org" for number in range(RELAYS)]


def events() -> Iterator[Made]:
    random = Random(1)
    for number in range(EVENTS):
        author = f"a{random.randrange(AUTHORS)}"
        match number % 10:
            case 0:
                yield naming(*random.sample(URLS, 4), author=author)
            case 1 | 2 | 3 | 4 | 5:
                tags = (("e", "ab" * 32, random.choice(URLS), "reply"), ("p", "cd" * 32, random.choice(URLS)))
                yield Made(1, tags, "hello world " * 20, author=author)
            case 6 | 7 | 8:
                yield Made(7, (("e", "ab" * 32), ("p", "cd" * 32)), "+", author=author)
            case _:
                yield Made(3, tuple(("p", f"{one:064x}") for one in range(200)), "", author=author)


def flood() -> Iterator[Made]:
    for number in range(FLOOD):
        yield naming(*(f"wss://s{number}-{one}.example.org" for one in range(EACH)), author="flood")


def measure(folder: Path) -> None:
    url, config = database_url(), SynchronizerConfig()
    ensure_database(url)
    server = psutil.Process(embedded.status(folder).pid)
    archive(url, events())
    for label, count in ((f"{EVENTS:,} events", EVENTS), ("nothing new", 1)):
        with measured(time.process_time, server) as cost:
            report = scan(url, config)
        print(cost.line(label, count))
        print(f"  {report.candidates_new} new candidates of {report.scanned} events, in {report.seconds:.3f} s")
    archive(url, flood())
    with measured(time.process_time, server) as cost:
        report = scan(url, config)
    print(cost.line(f"{FLOOD * EACH:,} made-up relays of one author", FLOOD * EACH))
    [(rows, size)] = ask(url, "SELECT count(*), pg_total_relation_size('relay_candidate') FROM relay_candidate")
    print(f"  {report.candidates_new} new candidates; {rows} rows in all, {size / 1024:.0f} KiB")
    print(f"  {peak_memory(os.getpid()) / 1e6:.0f} MB at most")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="discovery-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"BIGBROTR_DATA_DIR": folder}
        os.environ.pop("BIGBROTR_DATABASE_URL", None)
        try:
            measure(Path(folder))
        finally:
            embedded.leave(Path(folder))


if __name__ == "__main__":
    main()
