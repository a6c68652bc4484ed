"""Databases are made where they are missing: on any server that speaks any language, under any name."""

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.sessions import connect
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from tests.conftest import in_database
from tests.postgres15 import postgres15
from tests.sync.helpers import ask


@pytest.fixture(scope="module")
def german_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that says what is wrong in German."""
    folder = tmp_path_factory.mktemp("german")
    german = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8"}
    with postgres15(folder, options="-c lc_messages=C.UTF-8", variables=german) as server:
        with pytest.raises(psycopg.OperationalError, match="existiert nicht"):
            psycopg.connect(in_database(server.url, "never"))
        yield server.url


def test_a_server_with_german_messages_gets_its_database(german_server: str) -> None:
    url = in_database(german_server, "archive")
    ensure_database(url)
    ensure_database(url)
    assert ask(url, "SELECT count(*) FROM event") == [(0,)]


@pytest.mark.parametrize(
    "name", ["my archive", "50%", "a/b", 'quo"te', "it's", "dollar$", "Ünïcode", "a?b#c", "UPPER"]
)
def test_a_database_has_the_name_that_the_url_escapes(embedded_server: str, name: str) -> None:
    url = in_database(embedded_server, quote(name, safe=""))
    try:
        ensure_database(url)
        assert ask(url, "SELECT current_database()") == [(name,)]
    finally:
        with psycopg.connect(in_database(embedded_server, "postgres"), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(name)))


def test_a_role_that_may_not_make_databases_is_told_who_may(german_server: str) -> None:
    with connect(german_server) as owner:
        owner.execute("CREATE ROLE poor LOGIN")
    url = in_database(german_server, "of_the_poor").replace("postgres@", "poor@")
    with pytest.raises(DatabaseUnavailable, match=r'CREATE DATABASE "of_the_poor" .* OWNER "poor"$'):
        ensure_database(url)


def test_a_role_that_may_not_make_tables_can_use_an_archive(database: str) -> None:
    with connect(database) as owner:
        owner.execute("CREATE ROLE user_only LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO user_only")
    try:
        ensure_database(database.replace("postgres@", "user_only@"))
    finally:
        with connect(database) as owner:
            owner.execute("DROP OWNED BY user_only; DROP ROLE user_only")
