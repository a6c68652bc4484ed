"""deploy/compose.yaml, as far as its services can be processes here: their commands and environments."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
IN_IMAGE = "/opt/bigbrotr"
"""The folder of the image that holds the files of deploy/."""

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<sign>[-?])(?P<word>[^}]*))?\}")


@cache
def compose() -> Mapping[str, Any]:
    """The file, its anchors resolved, nothing interpolated."""
    read: Mapping[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return read


def variables(text: str) -> set[str]:
    """The variables that a text of the file refers to."""
    return {found["name"] for found in _VARIABLE.finditer(text) if found["name"]}


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """A text of the file as Compose reads it.

    Raises:
        KeyError: a variable that the file asks for is not set, or empty.
    """

    def value(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        given = values.get(found["name"], "")
        if not given and found["sign"] == "?":
            raise KeyError(f"{found['name']}: {found['word']}")
        return given or (found["word"] if found["sign"] == "-" else "")

    return _VARIABLE.sub(value, text)


def command(service: str) -> list[str]:
    """What the service runs; the files of the image are those of deploy/."""
    return [word.replace(IN_IMAGE, str(DEPLOY)) for word in compose()["services"][service]["command"]]


def environment_of(service: str, values: Mapping[str, str]) -> dict[str, str]:
    """The service's environment: `values` are those of the file .env."""
    given = compose()["services"][service].get("environment", {})
    return {name: interpolated(str(text), values) for name, text in given.items()}


def health_check(service: str, ports: Mapping[str, int]) -> list[str]:
    """The command by which the service's health is seen; `ports` stand in place of those that the file has."""
    kind, *words = compose()["services"][service]["healthcheck"]["test"]
    if kind == "CMD-SHELL":
        words = ["sh", "-c", interpolated(words[0], {})]
    return [re.sub(r"\b\d{4}\b", lambda found: str(ports.get(found[0], found[0])), word) for word in words]
