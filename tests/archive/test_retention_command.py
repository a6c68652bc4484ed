"""The command `retention`: what it prints, what it deletes, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.archive.exported import FIRST, put_events, see
from tests.e2e.program import run
from tests.sync.helpers import ask

pytestmark = pytest.mark.slow

ONE = "wss://one.example.com"


def test_it_counts_first_and_deletes_when_told(database: str, tmp_path: Path) -> None:
    see(database, put_events(database, [(FIRST + n, "note", [["t", "a" * n]]) for n in range(10)]), ONE, FIRST)
    rules = [{"larger_than": 9}, {"kinds": [1], "older_than": 86_400}]
    (tmp_path / "config.yaml").write_text(json.dumps({"processing": {"leave_out": rules}}))
    arguments, where = ["retention", "--config", "config.yaml"], {"BIGBROTR_DATABASE_URL": database}
    counted = run(tmp_path, *arguments, "--json", **where)
    assert (counted.code, counted.stderr) == (0, "")
    report = json.loads(counted.stdout)
    assert not report["deleted"]
    assert [(one["rule"], one["events"], one["observations"]) for one in report["rules"]] == [
        (rules[0], 5, 5),  # "note", "t", and five letters or more
        (rules[1], 10, 10),
    ]
    assert ask(database, "SELECT count(*) FROM event") == [(10,)]
    done = run(tmp_path, *arguments, "--delete", **where)
    assert (done.code, done.stderr) == (0, "")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(line[1], line[4]) for line in lines] == [("5 events", "deleted"), ("5 events", "deleted")]
    assert ask(database, "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM observation)") == [(0, 0)]
    assert ask(database, "SELECT rules FROM leave_out") == [([rules[1], rules[0]],)]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([{}], "processing.leave_out.0"),
        ([{"kinds": []}], "processing.leave_out.0.kinds"),
        ([{"kinds": ["likes"]}], "processing.leave_out.0.kinds.0"),
        ([{"authors": ["npub1"]}], "processing.leave_out.0.authors.0"),
        ([{"older_than": 5}], "processing.leave_out.0.older_than"),
        ([{"ids": ["a"]}], "processing.leave_out.0.ids"),
    ],
)
def test_what_is_no_rule_is_one_line_and_deletes_nothing(
    database: str, tmp_path: Path, rules: list[object], says: str
) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps({"processing": {"leave_out": rules}}))
    result = run(tmp_path, "retention", "--delete", "--config", "config.yaml", BIGBROTR_DATABASE_URL=database)
    assert result.code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert says in result.stderr
