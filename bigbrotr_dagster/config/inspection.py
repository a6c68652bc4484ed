"""What a person asks of the configuration: what holds and why, what is wrong with a file, which options there are.

No answer holds a secret: of addresses, what may be one is left out, and keys are never read here.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bigbrotr_dagster.config.file import (
    REMOVED,
    ConfigError,
    is_set,
    load_config,
    named_file,
    problems,
    read_options,
    removed_options,
    without_removed,
)
from bigbrotr_dagster.config.options import FLAT_NAMES, SynchronizerConfig
from bigbrotr_dagster.config.variables import ALLOW_PRIVATE_VARIABLE, DISCOVERY_VARIABLE, WEBHOOK_VARIABLE

DEFAULT = "default"
COMPONENT = "component"
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Setting:
    """The value that an option has, and who set it: `default`, a file or environment variable, or `component`."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What there is to say of a file, a line each: `faults` forbid its use, `warnings` do not."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def effective(path: Path | None = None, *, overlay: Mapping[str, Any] | None = None) -> list[Setting]:
    """Every option as a command would have it that is given `path`; secrets are replaced by `***`.

    `overlay`: see `load_config`.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    config = load_config(path, overlay=overlay)
    file = named_file(path)
    given = {} if file is None else read_options(file)
    settings = []
    for name, value in _leaves(config):
        source = COMPONENT if _is_given(name, overlay or {}) else _source(name, given, str(file))
        if source == WEBHOOK_VARIABLE:
            value = os.environ[WEBHOOK_VARIABLE]
        settings.append(Setting(name, _without_secrets(name, value), source))
    return settings


def check_file(path: Path) -> Findings:
    """All that is wrong with a file of options, not only what comes first."""
    try:
        options = read_options(path)
    except ConfigError as error:
        return Findings((str(error),), ())
    warnings = tuple(
        f"{path}: {name} has no effect here; use {REMOVED[name]}" for name in removed_options(options)
    )
    try:
        SynchronizerConfig.model_validate(without_removed(options))
    except ValidationError as error:
        return Findings(tuple(f"{path}: {line}" for line in problems(error)), warnings)
    return Findings((), warnings)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors: with older names, and those that have no effect."""
    schema = SynchronizerConfig.model_json_schema()
    models = {"": schema} | {
        name: schema["$defs"][field.annotation.__name__]
        for name, field in SynchronizerConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    for name, section in FLAT_NAMES.items():
        older = {"deprecated": True, "description": f"BigBrotr's older name of {section}.{name}."}
        schema["properties"][name] = models[section]["properties"][name] | older
    for name, instead in REMOVED.items():
        section, _, key = name.rpartition(".")
        removed = {"deprecated": True, "description": f"No effect here; use {instead}."}
        models[section]["properties"][key] = removed
    schema["allOf"] = [
        {"not": {"required": [name, section], "properties": {section: {"required": [name]}}}}
        for name, section in FLAT_NAMES.items()
    ]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bigbrotr-dagster"}
    described: dict[str, Any] = _on_one_line(schema)
    return head | described | {"title": "bigbrotr-dagster"}


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each option's full name and value, in the order of the sections."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _source(name: str, given: Mapping[str, Any], file: str) -> str:
    *sections, key = name.split(".")
    if name == "allow_private" and is_set(ALLOW_PRIVATE_VARIABLE):
        return ALLOW_PRIVATE_VARIABLE
    if name == "failure_webhook" and os.environ.get(WEBHOOK_VARIABLE):
        return WEBHOOK_VARIABLE
    if [FLAT_NAMES.get(key)] == sections and key in given:
        return f"{file}, by its older name {key}"
    if _is_given(name, given):
        return file
    return DISCOVERY_VARIABLE if name == "discovery.enabled" and is_set(DISCOVERY_VARIABLE) else DEFAULT


def _is_given(name: str, options: Mapping[str, Any]) -> bool:
    place: Any = options
    for part in name.split("."):
        if not isinstance(place, Mapping) or part not in place:
            return False
        place = place[part]
    return True


def _without_secrets(name: str, value: Any) -> Any:
    """The value as JSON has it, without what may be a secret: a webhook's path is one, and so may a query be."""
    if isinstance(value, BaseModel):
        return {key: _without_secrets(name, one) for key, one in value.model_dump().items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(name, one) for one in value]
    if isinstance(value, dict):
        return {key: _without_secrets(name, one) for key, one in value.items()}
    return _shown_address(value, whole=name != "failure_webhook") if isinstance(value, str) else value


def _shown_address(text: str, *, whole: bool) -> str:
    """An address without user, password, query and fragment; its server alone unless `whole`."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*://)(.*)", text, re.DOTALL)
    if found is None:
        return text if whole else HIDDEN
    scheme, rest = found.groups()
    _, at, place = rest.rpartition("@")
    place, sign, _ = re.match(r"([^?#]*)([?#]?)(.*)", place, re.DOTALL).groups()  # type: ignore[union-attr]
    if not whole:
        place, sign, _ = place.partition("/")
    return scheme + (f"{HIDDEN}@" if at else "") + place + (f"{sign}{HIDDEN}" if sign else "")


def _on_one_line(part: Any) -> Any:
    """A schema whose descriptions, which come from docstrings, are on one line each."""
    if isinstance(part, list):
        return [_on_one_line(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _on_one_line(value)
        for key, value in part.items()
    }
