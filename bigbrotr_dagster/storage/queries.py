"""The SQL files of `sql/`: named queries and numbered migrations."""

import re
from functools import cache
from pathlib import Path

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
