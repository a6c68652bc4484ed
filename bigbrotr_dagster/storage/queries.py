"""The SQL files of `sql/`: named queries and numbered migrations."""

import re
from functools import cache
from pathlib import Path

from psycopg.sql import SQL, Composable, Composed

_NAME = re.compile(rb"^-- name: (\w+)[ \t]*$", re.MULTILINE)


def sql_folder() -> Path:
    """The folder `sql/`: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


@cache
def query(name: str) -> bytes:
    """The text of a named query. Bytes, because psycopg takes them as trusted SQL.

    Raises:
        KeyError: no file in `sql/queries/` has a query of that name.
    """
    return _queries()[name]


def composed(name: str, /, **parts: Composable) -> Composed:
    """A named query that names a table or a database: each `{part}` of it is an identifier or a literal.

    Comments and the semicolon at its end are left out, so that it can be shown to a person, and go on.

    Raises:
        KeyError: no file in `sql/queries/` has a query of that name, or it has a part that is not given.
    """
    lines = query(name).decode().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--")).rstrip(";")
    return SQL(text).format(**parts)  # as trusted as the other files of `sql/`


@cache
def _queries() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in sorted((sql_folder() / "queries").glob("*.sql")):
        _, *parts = _NAME.split(path.read_bytes())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name.decode() in found:
                raise ValueError(f"{path.name}: a second query is named {name.decode()}")
            found[name.decode()] = text.strip()
    return found


def migrations() -> list[tuple[int, str, bytes]]:
    """(version, name, SQL) of every migration, ascending by version."""
    found = []
    for path in sorted((sql_folder() / "migrations").glob("*.sql")):
        version, _, name = path.stem.partition("_")
        found.append((int(version), name, path.read_bytes()))
    if len({version for version, _, _ in found}) < len(found):
        raise ValueError(f"two migrations in {sql_folder()} have the same number")
    return found


def migration_statements(number: int, words: str = "") -> list[bytes]:
    """The statements of one migration, without comments; those that go on with `words` after their first one.

    So one thing that a migration makes can be made by itself, to the letter.
    """
    text = next(text for version, _, text in migrations() if version == number).decode()
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    parts = re.findall(r"(?:[^;$]|\$\$.*?\$\$)+;", code, re.DOTALL)
    found = [part.strip() for part in parts]
    return [each.encode() for each in found if each.partition(" ")[2].startswith(words)]
