"""The command `sql`: what it prints, what it refuses, and a conversation on a real terminal."""

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bigbrotr_dagster.cli import main
from bigbrotr_dagster.cli.data_set import DataSetUnreadable, opened
from tests.archive.exported import DAY, DAYS, FIRST, cover, exported, name_gap, put_events, see
from tests.conftest import _clone
from tests.e2e.program import environment, run

ONE, TWO = "wss://one.example.com", "wss://two.example.com"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(embedded_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of two, one and no events, in a folder whose name is a pattern; two has a gap on the second."""
    folder = tmp_path_factory.mktemp("sql") / "it's [a] *set*"
    with contextmanager(_clone)(embedded_server) as database:
        events = [(FIRST, "a", [["t", "x"]]), (FIRST + 1, "b,\n'c'", []), (FIRST + DAY, "d", [])]
        see(database, put_events(database, events), ONE, FIRST + 7)
        cover(database, ONE, FIRST, FIRST + 3 * DAY)
        cover(database, TWO, FIRST, FIRST + DAY)
        name_gap(database, TWO, FIRST + DAY, FIRST + DAY + 9, "refused: no")
        exported(database, folder, DAYS)
    return folder


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with opened(folder) as data_set:
        [answer] = data_set.ask(query)
        return list(answer.rows())


def everything(folder: Path, query: str) -> None:
    """Run each statement to its end."""
    with opened(folder) as data_set:
        for answer in data_set.ask(query):
            list(answer.rows())


def test_the_views_hold_every_day_also_one_without_events(folder: Path) -> None:
    assert rows(folder, "SELECT date::text, content FROM event ORDER BY created_at") == [
        (DAYS[0], "a"),
        (DAYS[0], "b,\n'c'"),
        (DAYS[1], "d"),
    ]
    assert rows(folder, "SELECT date::text, relay_url, seen_at FROM observation ORDER BY ALL LIMIT 1") == [
        (DAYS[0], ONE, FIRST + 7)
    ]
    totals = "SELECT date::text, totals.events, format, coverage.share FROM manifest ORDER BY date"
    assert rows(folder, totals) == [(DAYS[0], 2, 1, 1), (DAYS[1], 1, 1, 0.5), (DAYS[2], 0, 1, 0.5)]


def test_the_coverage_says_who_proves_a_day_and_what_others_lack(folder: Path) -> None:
    assert rows(folder, "FROM coverage SELECT date::text, * EXCLUDE date ORDER BY ALL") == [
        (DAYS[0], ONE, "covered", 0, {}),
        (DAYS[0], TWO, "covered", 0, {}),
        (DAYS[1], ONE, "covered", 0, {}),
        (DAYS[1], TWO, "not_covered", DAY - 10, {"refused": 10}),
        (DAYS[2], ONE, "covered", 0, {}),
        (DAYS[2], TWO, "not_covered", DAY, {}),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "COPY event TO 'copied.parquet'",
        "COPY (PIVOT event ON kind USING count(*)) TO 'copied.csv'",
        "/* SELECT */ COPY (PIVOT event ON kind USING count(*)) TO 'copied.csv'",
        "EXPLAIN ANALYZE COPY event TO 'copied.parquet'",
        "EXPLAIN (ANALYZE) COPY event TO 'copied.parquet'",
        "EXPORT DATABASE 'copied'",
        "ATTACH 'copied.db'",
        "CREATE TABLE copied AS FROM event",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT 1; COPY event TO 'copied.parquet'",
    ],
)
def test_what_could_change_something_is_refused(
    folder: Path, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataSetUnreadable, match="is only read"):
        everything(folder, query)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "query",
    [
        "PIVOT event ON kind USING count(*)",
        "WITH e AS (FROM event) PIVOT e ON kind USING count(*)",
        "-- a word\nSUMMARIZE event",
        "DESCRIBE manifest",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
    ],
)
def test_what_only_reads_is_not(folder: Path, query: str) -> None:
    assert rows(folder, query)


def test_csv_and_json_hold_all_rows(folder: Path, tmp_path: Path) -> None:
    query = "SELECT id, tags, created_at_time, content, sum(kind) OVER () AS sum FROM event ORDER BY created_at"
    (tmp_path / "query.sql").write_text(f"{query};\n")
    as_csv = run(tmp_path, "sql", "--export", str(folder), "--file", "query.sql", "--csv")
    as_json = run(tmp_path, "sql", "--export", str(folder), query, "--json")
    assert (as_csv.code, as_csv.stderr, as_json.code, as_json.stderr) == (0, "", 0, "")
    lines = list(csv.reader(io.StringIO(as_csv.stdout)))
    objects = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert lines[0] == ["id", "tags", "created_at_time", "content", "sum"] == list(objects[0])
    [(id,), *_] = rows(folder, "SELECT id FROM event ORDER BY created_at")
    assert isinstance(id, bytes)
    assert lines[1] == [id.hex(), '[["t","x"]]', "2025-03-01 00:00:00+00:00", "a", "3"]
    first = {"id": id.hex(), "tags": [["t", "x"]], "created_at_time": "2025-03-01T00:00:00+00:00", "content": "a"}
    assert objects[0] == first | {"sum": 3}
    assert (lines[2][3], objects[1]["content"]) == ("b,\n'c'", "b,\n'c'")


def test_a_table_is_drawn_and_a_file_of_the_configuration_names_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps({"export": {"to": str(folder)}}))
    said = run(tmp_path, "sql", "SELECT 41 + count(*) - 2 AS answer FROM event", "--config", "config.yaml")
    assert (said.code, said.stderr) == (0, "")
    assert "answer" in said.stdout
    assert "42" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["SELECT 1"], 2, "--export names a folder, or the option export.to"),
        (["SELECT 1", "--export", "none"], 1, "none: no such folder"),
        (
            ["SELECT 1", "--export", "."],
            1,
            ". is no data set: no event/date=*/*.parquet in it; `export` writes one",
        ),
        (["SELECT 1", "--export", "s3://bucket/data"], 2, "s3://bucket/data: a folder is expected"),
        (["SELECT 1", "--csv", "--json", "--export", "."], 2, "one of --json and --csv"),
        (["SELECT 1", "-f", "-", "--export", "."], 2, "one of QUERY and --file"),
        (["-f", "none.sql", "--export", "."], 2, "none.sql"),
        (["-f", "bytes.sql", "--export", "{folder}"], 1, "the query is not UTF-8 text"),
        (["SELEC 1", "--export", "{folder}"], 1, 'Parser Error: syntax error at or near "SELEC"'),
        (["SELECT nothing FROM event", "--export", "{folder}"], 1, 'Referenced column "nothing" not found'),
        (["SELECT * FROM evnt", "--export", "{folder}"], 1, 'evnt does not exist! Did you mean "event"?'),
        (["SELECT error('no ' || id) FROM event", "--export", "{folder}"], 1, "no "),
        (["SELECT error('no') FROM event", "--export", "{folder}", "--json"], 1, "no"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIGBROTR_CONFIG", raising=False)
    (tmp_path / "bytes.sql").write_bytes(b"SELECT '\xff'")
    assert main(["sql", *(each.replace("{folder}", str(folder)) for each in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert says in line


def test_without_duckdb_it_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'duckdb' else found(name, package)\n"
    )
    said = run(tmp_path, "sql", "--export", ".", "SELECT 1", PYTHONPATH=str(tmp_path))
    assert (said.code, said.stdout) == (1, "")
    assert said.stderr == "bigbrotr-dagster: sql needs more: pip install 'bigbrotr-dagster[export]'\n"


def test_a_strangers_text_moves_no_cursor(folder: Path) -> None:
    with opened(folder) as data_set:
        [answer] = data_set.ask("SELECT 'a' || chr(27) || '[2J' || chr(155) || chr(8238) || 'b' AS said")
        drawn = answer.table(80)
    assert "[2J" in drawn
    assert not {"\x1b", "\x9b", "\u202e"} & set(drawn)


class Terminal:
    """The command on a terminal of its own, to be typed at."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "bigbrotr_dagster", *arguments]
        variables = environment(home, TERM="dumb", COLUMNS="100")
        self.process = subprocess.Popen(
            command, cwd=home, env=variables, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.seen = ""

    def until(self, words: str) -> str:
        """All that was said since the last time, up to these words."""
        end = time.monotonic() + 60
        while words not in self.seen:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.seen
            try:
                self.seen += os.read(self._ours, 65_536).decode()
            except OSError:  # Linux says so at the end of a terminal
                break
        before, _, self.seen = self.seen.partition(words)
        return before

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def close(self) -> None:
        os.close(self._ours)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(folder: Path, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, "sql", "--export", str(folder))
    yield opened
    opened.close()


def test_a_conversation_goes_on_after_a_mistake_until_the_end_of_input(terminal: Terminal) -> None:
    assert "Views: event, observation, manifest, coverage." in terminal.until("sql> ")
    terminal.type("SELECT count(*) + 39\n")
    terminal.until("...> ")
    terminal.type("FROM event;\n")
    assert "42" in terminal.until("sql> ")
    terminal.type("SELECT nothing FROM event;\n")
    said = terminal.until("sql> ")
    assert 'Referenced column "nothing" not found' in said
    assert "Traceback" not in said
    terminal.type("SELECT un")
    terminal.until("SELECT un")
    terminal.process.send_signal(signal.SIGINT)
    terminal.type("\n")  # where the signal came between two keys, Python sees it with the next one
    terminal.until("sql> ")
    terminal.type("SELECT 'still ' || 'here';\n")
    terminal.until("still here")
    terminal.until("sql> ")
    terminal.type("\x04")
    assert terminal.process.wait(30) == 0
