"""Every statement stands in `sql/`, under a name, with a sentence on it; and each name is used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import Identifier, Literal

from bigbrotr_dagster.storage.queries import composed, query, sql_folder

PACKAGE = Path(__file__).parents[2] / "bigbrotr_dagster"

STATEMENT = re.compile(
    r"""\b( SELECT\s | INSERT\s+INTO | DELETE\s+FROM | UPDATE\s+\w+\s+SET | WITH\s+\w+\s+AS | COPY\s+\w+\s*\(
        | (CREATE|ALTER|DROP|GRANT|TRUNCATE|ANALYZE|VACUUM|LOCK|COMMENT)\s | SET\s+(LOCAL|SESSION)\s
        | SET\s+\w+\s*(=|TO\s) | BEGIN\b | COMMIT\b | ROLLBACK\b | LISTEN\s | NOTIFY\s | ^(ANALYZE|VACUUM)$ )""",
    re.VERBOSE,
)
"""Statements begin in capitals here: a sentence that speaks of an UPDATE is none."""

ALLOWED = {
    ("storage/embedded/postgres_upgrade.py", "CREATE ROLE postgres;"),  # a line of pg_dumpall's, to be left out
    ("storage/embedded/postgres_upgrade.py", "CREATE DATABASE "),  # how a line of pg_dump's begins
    ("storage/trouble.py", "let the role own the database (ALTER DATABASE"),  # what a person should do
    ("storage/sessions/session.py", ", which cannot hold every text; make another by CREATE DATABASE"),  # and here
}
"""What is no statement of ours: file, and how the string begins."""


def strings(path: Path) -> Iterator[str]:
    """Every string of a file that is not a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in said:
            if isinstance(node.value, bytes):
                yield node.value.decode("utf-8", "replace")
            elif isinstance(node.value, str):
                yield node.value


def statements() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for text in strings(path):
            if STATEMENT.search(text):
                yield str(path.relative_to(PACKAGE)), text


def test_no_statement_stands_in_python() -> None:
    found = [
        (path, text)
        for path, text in statements()
        if not any(path == where and text.startswith(begin) for where, begin in ALLOWED)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["SELECT 1", "  INSERT INTO a VALUES (1)", "SET LOCAL x = 1", "SET x = '1'", "ANALYZE", "UPDATE a SET b = 1"],
)
def test_statements_are_found(text: str) -> None:
    assert STATEMENT.search(text)


def named() -> Iterator[tuple[Path, str, str]]:
    for path in sorted((sql_folder() / "queries").glob("*.sql")):
        _, *parts = re.split(r"^-- name: (\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        yield from ((path, name, text) for name, text in zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("path", "name", "text"), [pytest.param(*each, id=each[1]) for each in named()])
def test_every_query_has_a_sentence_and_a_user(path: Path, name: str, text: str) -> None:
    comment, *_ = text.strip().splitlines()
    assert re.match(r"-- [A-Z`].*\w.*", comment), f"{path.name}: {name} says nothing"
    users = [file for file in PACKAGE.rglob("*.py") if f'"{name}"' in file.read_text(encoding="utf-8")]
    assert users, f"{path.name}: nobody asks {name}"
    assert query(name).endswith(text.strip().encode())


def test_every_file_of_queries_says_what_they_are_about() -> None:
    for path in (sql_folder() / "queries").glob("*.sql"):
        assert re.match(r"-- (?!name:)", path.read_text(encoding="utf-8")), path.name


def test_a_composed_query_quotes_what_it_is_given(database: str) -> None:
    order = composed("create_database", name=Identifier('a"; DROP TABLE event; --'))
    said = 'CREATE DATABASE "a""; DROP TABLE event; --" ENCODING \'UTF8\' TEMPLATE template0'
    with psycopg.connect(database) as connection:
        assert order.as_string(connection) == said
        counting = composed("count_sampled", table=Identifier("event"), percent=Literal(100.0))
        assert connection.execute(counting).fetchall() == [(0,)]
