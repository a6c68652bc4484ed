"""What the documents say is there: links, anchors, files, commands, options; and their SQL runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import psycopg
import pytest
from pydantic import BaseModel

from bigbrotr_dagster.cli.program import cli
from bigbrotr_dagster.config import SynchronizerConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROGRAM = "bigbrotr-dagster"

_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_FILE = re.compile(r"`([\w./-]+\.(?:py|sql|md|toml))`")
_SQL = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LONG_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

NOT_IN_THE_TREE = {"archive/definitions.py", "dg.toml"}
"""What an example makes."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    for name in set(_FILE.findall(page.read_text())) - NOT_IN_THE_TREE:
        under = [ROOT / name, ROOT / "bigbrotr_dagster" / name]
        is_there = any(path.exists() for path in under)
        assert is_there or ("/" not in name and any((ROOT / "tests").rglob(name))), name


EXAMPLES = [(page, block) for page in PAGES for block in _SQL.findall(page.read_text())]


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[name_of(page) for page, _ in EXAMPLES])
def test_every_query_runs(page: Path, block: str, database: str) -> None:
    with psycopg.connect(database) as connection:
        for statement in block.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())


def commands(
    group: click.Group = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command by its words; groups are not commands."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def options_of(command: click.Command) -> set[str]:
    return {"--help"} | {option for parameter in command.params for option in parameter.opts}


def named_commands() -> Iterator[tuple[list[str], set[str]]]:
    """Words and long options of each example, and of each row of the table of commands."""
    for page in PAGES:
        text = page.read_text()
        for line in re.findall(rf"(?:\.venv/bin/|`){PROGRAM} ([^`\n#]+)", text):
            yield line.split(), set(_LONG_OPTION.findall(line))
    table = (ROOT / "docs/operating.md").read_text().split("| command | does |")[1].split("\n\n")[0]
    for cell in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE):
        first, *others = cell.split(" / ")
        group = first.split()[0]
        for number, form in enumerate([first, *others]):
            yield form.split() if number == 0 else [group, *form.split()], set(_LONG_OPTION.findall(form))


def test_every_command_and_option_that_is_named_exists() -> None:
    known = dict(commands())
    seen = set()
    for words, options in named_commands():
        found = next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in known), None)
        assert found is not None, words
        assert options <= options_of(known[found]), words
        seen.add(found)
    assert known.keys() - {("synchronizer",)} <= seen, "every command is documented"


def option_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from option_names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def default_of(name: str) -> object:
    value: object = SynchronizerConfig()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_every_option_is_documented_with_its_default_and_none_is_unknown() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    table = page.split("| option | unit | default | effect |")[1].split("\n\n")[0]
    documented = {}
    for row in table.strip().splitlines()[1:]:
        names, _, default, _ = (cell.strip() for cell in row.strip("|").split("|"))
        documented |= dict.fromkeys(re.findall(r"`([^`]+)`", names), default.strip("`"))
    assert set(documented) == set(option_names(SynchronizerConfig))
    for name, text in documented.items():
        assert text == shown(default_of(name)), name


def shown(value: object) -> str:
    """A default as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[cast("bool | None", value)]
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
