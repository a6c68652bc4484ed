"""A data set that `export` has written, opened in DuckDB (the extra `export`): SQL over its days.

Views are made when it is opened; files are read when they are asked. Nothing is written: statements that could are
refused, and what does not fit into the memory goes to a folder that is gone in the end.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from psycopg.sql import Literal

from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.nostr.text import is_unicode, safe_line
from bigbrotr_dagster.storage.queries import composed
from bigbrotr_dagster.storage.trouble import one_line

if TYPE_CHECKING:
    import duckdb

FILES = {
    "data_set_event": "event/date=*/*.parquet",
    "data_set_observation": "observation/date=*/*.parquet",
    "data_set_manifest": "manifest/date=*.json",
}
"""The queries that make views of files, and the files, in the folder of a data set."""

VIEWS = ("event", "observation", "manifest", "coverage")

MOST_ROWS = 100
"""Of a table that is drawn; the others are counted."""

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_RUNS = re.compile(r"\s*EXPLAIN\s*(?:\(|ANALYZE\b)")
_WRITERS = ("COPY", "CREATE", "INSERT", "EXPORT", "IMPORT", "PRAGMA", "CALL")


class DataSetUnreadable(CannotGoOn):
    """A data set cannot be opened, or not be asked that; the message is one line."""


class Answer:
    """What one statement brings. It is run when its rows are asked for."""

    def __init__(self, relation: "duckdb.DuckDBPyRelation") -> None:
        self._relation = relation

    @property
    def columns(self) -> list[str]:
        """Their names, in order."""
        return list(self._relation.columns)

    def table(self, width: int) -> str:
        """It as a table of at most so many characters a line, and `MOST_ROWS` rows, without control characters.

        Raises:
            DataSetUnreadable: it cannot be run.
        """
        with _one_line(), redirect_stdout(StringIO()) as drawn:
            self._relation.show(max_width=width, max_rows=MOST_ROWS)
        return "\n".join(safe_line(line, 12 * len(line)) for line in drawn.getvalue().rstrip("\n").split("\n"))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows, as they come.

        Raises:
            DataSetUnreadable: it cannot be run.
        """
        import pyarrow as pa

        with _one_line():
            for batch in pa.RecordBatchReader.from_stream(self._relation):
                columns = [column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns]
                yield from zip(*columns, strict=True)


class DataSet:
    """An open data set, as views `event`, `observation`, `manifest` and `coverage`."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def ask(self, text: str) -> Iterator[Answer]:
        """What each of the statements in `text` brings, one after another.

        Raises:
            DataSetUnreadable: one cannot be understood, or does more than read.
        """
        if not is_unicode(text):
            raise DataSetUnreadable("the query is not UTF-8 text")
        with _one_line():
            statements = self._connection.extract_statements(text)
        for statement in statements:
            if not _only_reads(statement):
                raise DataSetUnreadable("a data set is only read: SELECT, FROM, PIVOT, DESCRIBE, EXPLAIN")
            with _one_line():
                relation = self._connection.sql(statement.query)
            yield Answer(relation)


@contextmanager
def opened(folder: Path) -> Iterator[DataSet]:
    """The data set in a folder.

    Raises:
        DataSetUnreadable: duckdb is missing; there is no such folder; it holds no days.
    """
    if find_spec("duckdb") is None or find_spec("pyarrow") is None:
        raise DataSetUnreadable("sql needs more: pip install 'bigbrotr-dagster[export]'")
    import duckdb

    if not folder.is_dir():
        raise DataSetUnreadable(f"{folder}: no such folder")
    for files in FILES.values():
        if next(folder.glob(files), None) is None:
            raise DataSetUnreadable(f"{folder} is no data set: no {files} in it; `export` writes one")
    with TemporaryDirectory(prefix="bigbrotr-sql-") as spare:
        settings: dict[str, Any] = {
            "temp_directory": spare,
            "autoinstall_known_extensions": False,  # nothing is fetched from elsewhere
        }
        with duckdb.connect(config=settings) as connection:
            with _one_line():
                connection.execute(composed("data_set_clock").as_string())
                for name, files in FILES.items():
                    pattern = Literal(f"{_escaped(str(folder.absolute()))}/{files}")
                    connection.execute(composed(name, files=pattern).as_string())
                connection.execute(composed("data_set_coverage").as_string())
            yield DataSet(connection)


def _escaped(folder: str) -> str:
    """A folder's name in a pattern, whatever is in it."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", folder)


def _only_reads(statement: "duckdb.Statement") -> bool:
    """Whether a statement can change no file. EXPLAIN ANALYZE runs what it explains; PIVOT is several in one."""
    text, kind = _COMMENTS.sub(" ", statement.query).upper(), statement.type.name
    if kind == "EXPLAIN":
        return not _RUNS.match(text)
    return kind == "SELECT" or (kind == "MULTI" and not text.lstrip().startswith(_WRITERS))


@contextmanager
def _one_line() -> Iterator[None]:
    """DuckDB's errors have a drawing of where they are; the first line says what."""
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        said, *rest = str(error).splitlines()
        hint = next((line for line in rest if line.startswith(("Did you mean", "Candidate"))), "")
        raise DataSetUnreadable(one_line(f"{said} {hint}")) from error
