"""Who may import whom, and what of it (docs/architecture.md): the rule is the layout's, the check is ours."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "bigbrotr_dagster"
NAME = PACKAGE.name

BELOW: dict[str, set[str]] = {
    "windowing": set(),
    "negentropy": set(),
    "nostr": {"windowing", "negentropy"},
    "config": {"nostr"},
    "storage": {"nostr", "windowing"},
    "sync": {"storage", "config", "nostr", "negentropy", "windowing"},
    "archive": {"sync", "storage", "config", "nostr", "windowing"},
    "discovery": {"sync", "storage", "config", "nostr", "windowing"},
    "defs": {"archive", "discovery", "sync", "storage", "config", "nostr"},
    "cli": {"defs", "archive", "discovery", "sync", "storage", "config", "nostr", "demo", "windowing"},
    "demo": {"nostr"},
}
"""The rooms, from the ground up, and what each may import beside itself."""

FLOORS: dict[str, list[str]] = {
    "storage": [
        "queries",
        "private_files",
        "trouble",
        "embedded",
        "address",
        "sessions",
        "databases",
        "locks",
        "left_out",
        "ingest",
        "holdings",
        "state",
    ],
    "defs": [
        "settings",
        "instance",
        "graph",
        "runs",
        "archive",
        "data_sets",
        "report",
        "discovery",
        "relays",
        "health",
        "automation",
    ],
}
"""The rooms within a room, from the ground up: each may import those before it."""

MOST_NAMES = 12
"""In a face: whoever asks a room for more asks for its inside."""

PRIVATE_PARTS = "defs/instance/private_parts.py"
"""The one module that may name what Dagster does not show."""

TESTED: dict[str, str] = {
    "relays": "nostr",
    "benchmarks": "cli",
    "e2e": "cli",
    "docs": "cli",
    "sync": "archive",  # whether a sync kept the promise, the archive is asked
    "negentropy": "nostr",  # its other side comes through a real socket
    "nostr/fuzz.py": "sync",  # what passes as an event has to be storable, and a talk needs what it reconciles
}
"""The room that helpers belong to, where their folder is not called after it."""


class Import(NamedTuple):
    """`name` of `module`, both without the package's own name; `name` is empty where the module is imported."""

    module: str
    name: str


VERSION = Import("", "__version__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, by full name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


def ours(path: Path) -> Iterator[Import]:
    """What a file takes of this package."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith(f"{NAME}."), f"{path}: `from … import …` names what is taken"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == NAME:
            module = (node.module or "")[len(NAME) + 1 :]
            for alias in node.names:
                whole = f"{module}.{alias.name}".strip(".")
                yield Import(whole, "") if is_module(whole) else Import(module, alias.name)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_module(name: str) -> bool:
    """Whether this package has a module, or a folder, of that name."""
    path = PACKAGE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or is_room(name)


def is_room(name: str) -> bool:
    return PACKAGE.joinpath(*name.split("."), "__init__.py").is_file()


@cache
def face(room: str) -> tuple[str, ...]:
    """The names in `__all__` of a room."""
    for node in parsed(PACKAGE.joinpath(*room.split("."), "__init__.py")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    return ()


def place(path: Path) -> str:
    """The room that a file of the package stands in, by its dotted name; the package itself is none."""
    return ".".join(path.relative_to(PACKAGE).parent.parts)


def shown(path: Path) -> str:
    return str(path.relative_to(TESTS.parent))


def is_public(taken: Import, at: str) -> bool:
    """Whether what is taken stands in the faces on the way to it, seen from the room `at`."""
    if taken == VERSION or taken.module == "errors":
        return True
    parts = taken.module.split(".")
    for depth, part in enumerate(parts):
        room = ".".join(parts[:depth])
        is_inside = at == room or at.startswith(f"{room}.") or not room
        if not is_inside and part not in face(room):
            return False
    is_inside = at == taken.module or at.startswith(f"{taken.module}.")
    if not taken.name or is_inside or not is_room(taken.module):
        return not taken.name.startswith("_")
    return taken.name in face(taken.module)


ROOMS = sorted(
    ".".join(path.parent.relative_to(PACKAGE).parts)
    for path in PACKAGE.rglob("__init__.py")
    if path.parent != PACKAGE
)
FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_folder_of_the_package_is_a_room_of_the_map() -> None:
    assert {room for room in ROOMS if "." not in room} == set(BELOW)
    for room, floors in FLOORS.items():
        inside = {name.split(".")[1] for name in ROOMS if name.startswith(f"{room}.")}
        assert inside <= set(floors) == set(face(room))
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "component.py",
        "definitions.py",
        "errors.py",
    }


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_what_is_below_it(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for taken in ours(path):
            other = taken.module.partition(".")[0]
            assert other in {room, *BELOW[room], "errors"} or taken == VERSION, f"{shown(path)} imports {taken}"


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_within_a_room_imports_only_what_is_below_it(room: str) -> None:
    floors = FLOORS[room]
    for path in sorted((PACKAGE / room).rglob("*.py")):
        own = path.relative_to(PACKAGE / room).with_suffix("").parts[0]
        for taken in ours(path):
            if own in floors and taken.module.startswith(f"{room}."):
                other = taken.module.split(".")[1]
                assert floors.index(other) <= floors.index(own), f"{shown(path)} imports {taken}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_face_of_a_dozen_names_and_says_what_it_is_for(room: str) -> None:
    init = parsed(PACKAGE.joinpath(*room.split("."), "__init__.py"))
    assert 0 < len(face(room)) <= MOST_NAMES, face(room)
    assert list(face(room)) == sorted(face(room), key=lambda name: (not name.isupper(), name.islower(), name))
    said = " ".join((ast.get_docstring(init) or "").split())
    assert "Start reading at" in said


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_in_a_face_hides_a_module(room: str) -> None:
    taken = {one.name for one in ours(PACKAGE.joinpath(*room.split("."), "__init__.py"))}
    assert [name for name in taken & {*face(room)} if is_module(f"{room}.{name}")] == []


def test_other_rooms_take_what_a_face_shows() -> None:
    for path in FILES:
        for taken in ours(path):
            assert is_public(taken, place(path)), f"{shown(path)} takes {taken}"


def test_no_module_in_a_face_is_asked_for_more_than_a_dozen_names() -> None:
    wanted: dict[str, set[str]] = {}
    for path in FILES:
        for taken in ours(path):
            room = taken.module.rpartition(".")[0]
            if taken.name and not is_room(taken.module) and place(path) != room:
                wanted.setdefault(taken.module, set()).add(taken.name)
    assert {module: names for module, names in wanted.items() if len(names) > MOST_NAMES} == {}


@pytest.mark.parametrize("room", ["windowing", "negentropy"])
def test_a_pure_core_needs_the_standard_library_only(room: str) -> None:
    forbidden = {"asyncio", "time", "datetime", "socket", "threading", "random"}
    for path in (PACKAGE / room).glob("*.py"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top == NAME or (top in sys.stdlib_module_names and top not in forbidden), name


def private_names(path: Path) -> Iterator[str]:
    """What a file takes of others that begins with an underscore: imports, attributes, words given to getattr."""
    own = {"self", "cls", *(node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            value = node.value
            if not (isinstance(value, ast.Name) and value.id in own) and ast.unparse(value) != "type(self)":
                yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            yield from (
                word.value
                for word in node.args[1:2]
                if isinstance(word, ast.Constant) and isinstance(word.value, str) and is_private(word.value)
            )
        elif isinstance(node, ast.ImportFrom):
            whole = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (part for part in whole if is_private(part))
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split(".") if is_private(part))


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def test_one_module_holds_all_that_is_taken_of_dagsters_private_parts() -> None:
    takers: dict[str, set[str]] = {}
    for path in FILES:
        is_dagsters = place(path).startswith("defs") or any(name.startswith("dagster") for name in imports(path))
        if is_dagsters and (names := set(private_names(path))):
            takers[str(path.relative_to(PACKAGE))] = names
    assert takers.pop(PRIVATE_PARTS) == {"_core", "_engine", "_event_to_row", "_connect"}
    assert takers == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x._engine", {"_engine"}),
        ("f(x)._connect()", {"_connect"}),
        ('getattr(part, "_engine", None)', {"_engine"}),
        ("from dagster._core.events import A", {"_core"}),
        ("from dagster import _seven", {"_seven"}),
        ("import dagster._core as core", {"_core"}),
        ("class A:\n    def f(self):\n        return self._own, A._own, self.__class__", set()),
        ("self.instance._run_storage", {"_run_storage"}),
    ],
)
def test_private_names_are_found(text: str, found: set[str], tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(text)
    assert set(private_names(path)) == found


def helpers() -> Iterator[tuple[Path, str]]:
    """What tests import of each other, and the room that it helps to test."""
    for path in sorted(TESTS.glob("*/**/*.py")):
        folder, name = path.relative_to(TESTS).parts[0], path.relative_to(TESTS).as_posix()
        room = TESTED.get(name, TESTED.get(folder, folder))
        if not path.name.startswith("test_") and path.name != "__init__.py" and room in BELOW:
            yield path, room


@pytest.mark.parametrize(("path", "room"), [pytest.param(*each, id=shown(each[0])) for each in helpers()])
def test_a_helper_of_tests_imports_the_room_that_it_helps_to_test_and_what_is_below(path: Path, room: str) -> None:
    allowed = {room, *BELOW[room], "errors"} | ({"definitions"} if room in ("defs", "cli") else set())
    for taken in ours(path):
        assert taken.module.partition(".")[0] in allowed, f"{shown(path)} imports {taken}"
    for name in imports(path):
        if name.startswith("tests."):
            other = name.split(".")[1]
            other = TESTED.get(other, other)
            assert other not in BELOW or other in allowed, f"{shown(path)} imports {name}"


@pytest.mark.parametrize(
    ("module", "name", "at", "may"),
    [
        ("storage.sessions", "connect", "sync", True),
        ("storage.sessions.session", "connect", "sync", False),
        ("storage.sessions.session", "connect", "storage.locks", False),
        ("storage.sessions.session", "connect", "storage.sessions", True),
        ("storage.state", "SyncState", "sync", True),
        ("storage.sessions", "begin", "sync", False),
        ("sync.cycle", "sync_relays", "defs.relays", False),
        ("archive.proof", "relay_gaps", "cli", True),
        ("archive.proof", "_take_back", "cli", False),
        ("archive.columns", "", "defs.archive", False),
        ("defs.instance.home", "found", "defs.relays", False),
    ],
)
def test_an_inside_is_told_from_a_face(module: str, name: str, at: str, may: bool) -> None:
    assert is_public(Import(module, name), at) is may


HABITS_WRITERS = {"windowing/habits.py": None, "windowing/conduct.py": {"rung", "limit", "pause"}}
"""Who may set an attribute of a relay's habits; `Conduct` owns the restraints."""


def test_habits_have_one_writer() -> None:
    for path in FILES:
        written = {
            target.attr
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
            for top in (node.targets if isinstance(node, ast.Assign) else [node.target])
            for target in ast.walk(top)
            if isinstance(target, ast.Attribute)
            and ast.unparse(target.value).rpartition(".")[2].endswith("habits")
        }
        may = HABITS_WRITERS.get(str(path.relative_to(PACKAGE)), set())
        assert may is None or written <= may, path
