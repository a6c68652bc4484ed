"""A database of BigBrotr's that this program has adopted."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database

TESTS = Path(__file__).parents[1]
BIGBROTR = (TESTS / "storage" / "bigbrotr.sql").read_bytes() + (
    Path(__file__).parent / "bigbrotr.sql"
).read_bytes()
THEIRS = (["wss://a"], ["clearnet"], [1], [b"their id"], ["nip11_info"], ['{"data": {"software": "old"}}'], [7])


@pytest.fixture(params=["embedded_server", "debian_server"])
def adopted(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database of BigBrotr's that this program has adopted, on PostgreSQL 18 and then on 15."""
    server = request.getfixturevalue(request.param)
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bigbrotr_health")
        url = in_database(server, "bigbrotr_health")
        with psycopg.connect(url, autocommit=True) as theirs:
            theirs.execute(BIGBROTR)
            theirs.execute("SELECT relay_metadata_insert_cascade(%s, %s, %s, %s, %s, %s::jsonb[], %s)", THEIRS)
        ensure_database(url)
        yield url
        connection.execute("DROP DATABASE bigbrotr_health WITH (FORCE)")
