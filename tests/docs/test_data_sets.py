"""The examples of docs/data-sets.md run, on a data set that the program has written."""

import re
from pathlib import Path

import pytest

from tests.archive.exported import FIRST, exported, put_events, see

PAGE = Path(__file__).parents[2] / "docs/data-sets.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_examples_run(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [id] = put_events(database, [(FIRST, "hello", [["t", "tides"], []])])
    see(database, [id], "wss://one.example.com", FIRST + 5)
    exported(database, tmp_path / "data", ["2025-03-01"])
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) == 3
    for example in EXAMPLES:
        exec(compile(example, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    for word in (id.hex(), "2025-03-01 00:00:05", "wss://one.example.com", "tides"):
        assert word in printed
