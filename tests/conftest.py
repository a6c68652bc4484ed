"""Real databases: a migrated template on each server, cloned for every test that asks for one."""

import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from hypothesis import settings

from bigbrotr_dagster.nostr.event import Event, event_from_json
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.sessions import Pool, open_pool
from tests import side_by_side
from tests.postgres15 import postgres15

# Started in the background by a shell, this process ignores SIGINT, and so would every program that is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine: a search for new ones is for a developer, not for a landing.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

DATA = Path(__file__).parent / "data"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return side_by_side.processes(config.option.file_or_dir)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> side_by_side.InUnits:
    return side_by_side.InUnits(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = side_by_side.longest_first(items)


_numbers = itertools.count()


def in_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an embedded server (PostgreSQL 18) with a migrated database `template`."""
    folder = tmp_path_factory.mktemp("embedded")
    url = embedded.start(folder)
    ensure_database(in_database(url, "template"))
    yield url
    embedded.leave(folder)


@pytest.fixture(scope="session")
def debian_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of Debian's PostgreSQL 15 with a migrated database `template`."""
    with postgres15(tmp_path_factory.mktemp("pg15")) as server:
        ensure_database(in_database(server.url, "template"))
        yield server.url


def _clone(server: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template".encode())
        yield in_database(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def bigbrotr(debian_server: str) -> Iterator[str]:
    """URL of a database as BigBrotr 6.6.9 makes it, without rows."""
    schema = (Path(__file__).parent / "storage" / "bigbrotr.sql").read_bytes()
    with psycopg.connect(in_database(debian_server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bigbrotr_alone")
        url = in_database(debian_server, "bigbrotr_alone")
        with psycopg.connect(url, autocommit=True) as theirs:
            theirs.execute(schema)
        yield url
        connection.execute("DROP DATABASE bigbrotr_alone WITH (FORCE)")


@pytest.fixture
def database(embedded_server: str) -> Iterator[str]:
    """URL of an empty archive on the embedded server."""
    yield from _clone(embedded_server)


@pytest.fixture(params=["embedded_server", "debian_server"])
def any_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty archive, on PostgreSQL 18 and then on 15."""
    yield from _clone(request.getfixturevalue(request.param))


@pytest.fixture
async def pool(any_database: str) -> AsyncIterator[Pool]:
    """A pool on an empty archive, on PostgreSQL 18 and then on 15."""
    async with open_pool(any_database) as opened:
        yield opened


@pytest.fixture(scope="session")
def real_events() -> list[Event]:
    """2,049 events of the public network, 2019 to 2025, ascending by created_at."""
    return [event_from_json(line) for line in (DATA / "real_events.jsonl").read_bytes().splitlines()]
