"""A database of BigBrotr's that this program has adopted."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import adopt, ensure_database
from tests.conftest import in_database

TESTS = Path(__file__).parents[1]
BIGBROTR = (TESTS / "storage" / "bigbrotr.sql").read_bytes() + (
    Path(__file__).parent / "bigbrotr.sql"
).read_bytes()
THEIRS = (["wss://a"], ["clearnet"], [1], [b"their id"], ["nip11_info"], ['{"data": {"software": "old"}}'], [7])


@pytest.fixture(params=["embedded_server", "debian_server"])
def server(request: pytest.FixtureRequest) -> str:
    """URL of PostgreSQL 18 and then of 15."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=[ensure_database, lambda url: list(adopt(url))], ids=["at once", "while in use"])
def adopted(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """URL of a database of BigBrotr's that this program has adopted, in one go and then in batches."""
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bigbrotr_health")
        url = in_database(server, "bigbrotr_health")
        with psycopg.connect(url, autocommit=True) as theirs:
            theirs.execute(BIGBROTR)
            theirs.execute("SELECT relay_metadata_insert_cascade(%s, %s, %s, %s, %s, %s::jsonb[], %s)", THEIRS)
        request.param(url)
        yield url
        connection.execute("DROP DATABASE bigbrotr_health WITH (FORCE)")
