"""The errors form one tree, and the drawing of it is true."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigbrotr_dagster import errors
from bigbrotr_dagster.errors import ArchiveError

PACKAGE = Path(errors.__file__).parent


def classes() -> Iterator[type[BaseException]]:
    """Every exception that the package defines, but those of negentropy: they have a drawing of their own."""
    for path in sorted(PACKAGE.rglob("*.py")):
        names = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        if not names or path.parent.name == "negentropy":
            continue
        module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        for name in names:
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, BaseException):
                yield found


def drawn() -> dict[str, str]:
    """Each class of the drawing, and the one that it hangs from."""
    above: list[str] = []
    tree: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    (\W*)([A-Z]\w+)(?:\s{2,}|$)", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            if depth:
                tree[found[2]] = above[depth - 1]
    return tree


def test_the_drawing_is_the_tree() -> None:
    tree = {one.__name__: one.__bases__[0].__name__ for one in classes() if one is not ArchiveError}
    assert drawn() == tree | {"NegentropyError": "RelayError"}


@pytest.mark.parametrize("error", list(classes()), ids=lambda one: one.__name__)
def test_every_error_says_what_it_is(error: type[BaseException]) -> None:
    assert issubclass(error, ArchiveError)
    assert error.__doc__
