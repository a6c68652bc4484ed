"""Who may import whom (docs/architecture.md): the rule is the layout's, the check is ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bigbrotr_dagster"
NAME = PACKAGE.name

ARROWS: dict[str, set[str]] = {
    "windowing": set(),
    "negentropy": set(),
    "nostr": {"windowing", "negentropy"},
    "storage": {"windowing", "nostr.event", "nostr.relay_url"},
    "sync": {"windowing", "negentropy", "nostr", "storage"},
    "defs": {"sync", "storage.pool", "storage.dagster_database", "storage.trouble"},
    "demo": {"nostr"},
}
"""What each room may import beside itself; `cli` and the modules beside it may import everything."""


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, by full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            if node.module == NAME or (node.module or "").startswith(f"{NAME}."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_the_layout_allows(room: str) -> None:
    allowed = {f"{NAME}.{name}" for name in {room, *ARROWS[room]}}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for name in imports(path):
            if not name.startswith(f"{NAME}.") or not is_module(name):
                continue
            inside = any(name == one or name.startswith(f"{one}.") for one in allowed)
            parent = any(one.startswith(f"{name}.") for one in allowed)
            assert inside or parent, f"{path.relative_to(PACKAGE.parent)} imports {name}"


@pytest.mark.parametrize("room", ["windowing", "negentropy"])
def test_a_pure_core_needs_the_standard_library_only(room: str) -> None:
    forbidden = {"asyncio", "time", "datetime", "socket", "threading", "random"}
    for path in (PACKAGE / room).glob("*.py"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top == NAME or (top in __import__("sys").stdlib_module_names and top not in forbidden), name


def test_one_module_holds_all_that_is_taken_of_dagsters_private_ones() -> None:
    takers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for name in imports(path)
        if name.startswith("dagster") and any(part.startswith("_") for part in name.split("."))
    }
    assert takers == {"partition_events.py"}


def test_every_folder_of_the_package_is_a_room() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ARROWS)
