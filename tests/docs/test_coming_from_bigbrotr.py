"""The page for who comes from BigBrotr is true: what it says of options, metrics and events is so."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bigbrotr_dagster.archive.metrics import archive_metrics
from bigbrotr_dagster.cli.sync import sync
from bigbrotr_dagster.config.file import REMOVED
from bigbrotr_dagster.config.inspection import check_file, effective
from bigbrotr_dagster.config.options import FLAT_NAMES
from bigbrotr_dagster.storage.sessions import open_pool
from bigbrotr_dagster.storage.state import begin_cycle, finish_cycle
from tests.e2e.test_metrics import fill

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/coming-from-bigbrotr.md").read_text()
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "bigbrotr_dagster").rglob("*.py")))


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the table in a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


OPTIONS = [
    pytest.param(name, value, here, id=name) for cell, value, here, _ in rows("Options") for name in names(cell)
]
EVENTS = [
    pytest.param(name, here, instead, id=name)
    for cell, here, instead in rows("Log events")
    for name in names(cell)
]


@pytest.mark.parametrize("section", ["What it promises", "Command line", "Options", "Metrics", "Log events"])
def test_every_row_has_its_verdict_and_says_what_stands_in_its_place(section: str) -> None:
    found = rows(section)
    assert found
    for cells in found:
        *_, here, how = cells
        assert here in ("same", "replaced", "left out", "refused"), cells
        assert all(cells[:-1]), cells
        assert how or here == "same", cells


@pytest.mark.parametrize(("name", "value", "here"), OPTIONS)
def test_an_option_is_taken_warned_of_or_refused(name: str, value: str, here: str, tmp_path: Path) -> None:
    given: Any = yaml.safe_load(value)
    document = given
    for part in reversed(name.split(".")):
        document = {part: document}
    path = tmp_path / "synchronizer.yaml"
    path.write_text(yaml.safe_dump(document))
    found = check_file(path)
    assert (bool(found.faults), bool(found.warnings)) == {
        "same": (False, False),
        "left out": (False, True),
        "refused": (True, False),
    }[here], found
    if here == "same":
        full = f"{FLAT_NAMES[name]}.{name}" if name in FLAT_NAMES else name
        [setting] = [one for one in effective(path) if one.name == full]
        assert setting.value == given
        assert setting.source.startswith(str(path))


def test_every_option_that_is_warned_of_or_has_an_older_name_is_in_the_table() -> None:
    told = {parameter.id for parameter in OPTIONS}
    assert {name for name in FLAT_NAMES if name not in OURS} <= told
    for name in REMOVED:
        assert any(one == name or one.startswith(f"{name}.") for one in told), name


OURS = {"lookback", "batch_size", "max_event_size"}
"""Flat names that no version of BigBrotr had."""


async def test_every_metric_that_is_the_same_is_exported(database: str) -> None:
    await fill(database)
    async with open_pool(database) as pool, pool.connection() as connection:
        await begin_cycle(connection, "one", 3)
        await finish_cycle(connection, "one", ok=True)
    samples = [one for family in archive_metrics(database).collect() for one in family.samples]
    exported = {one.name for one in samples}
    services = {
        (one.name, one.labels.get("name")) for one in samples if one.labels.get("service") == "synchronizer"
    }
    for cell, here, instead in rows("Metrics"):
        for text in names(cell):
            metric, _, label = text.partition("{")
            wanted = re.findall(r'name="(\w+)"', label)
            is_there = metric in exported or f"{metric}_bucket" in exported
            if here == "same":
                assert is_there, text
                assert not wanted or (metric, wanted[0]) in services, text
            else:
                assert not wanted or (metric, wanted[0]) not in services, text
        for ours in names(instead) if here == "replaced" else []:
            assert not ours.startswith("bigbrotr_") or ours in exported, ours


@pytest.mark.parametrize(("name", "here", "instead"), EVENTS)
def test_an_event_that_is_the_same_is_logged(name: str, here: str, instead: str) -> None:
    made = {f"{service}_{end}" for service in ("synchronizer",) for end in ("completed", "failed")}
    is_logged = f'"{name}"' in SOURCE or name in made
    assert is_logged is (here == "same")
    for event in names(instead) if here == "replaced" else []:
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", event):
            assert f'"{event}"' in SOURCE or event in made, event


def test_the_options_of_the_command_line_are_taken_as_it_says() -> None:
    taken = {option for parameter in sync.params for option in parameter.opts}
    for cell, here, _ in rows("Command line"):
        for option in names(cell):
            if option.startswith("--"):
                assert (option in taken) is (here == "same"), option


def test_variables_of_version_1_are_not_read() -> None:
    section = PAGE.split("\n## Command line\n")[1].split("\n## ")[0]
    told = re.findall(r"`((?:SYNC|TORPROXY)\w+)`", section)
    assert len(told) == 9
    assert not [name for name in told if name in SOURCE]
