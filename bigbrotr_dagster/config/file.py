"""Reading the configuration from YAML, with errors that a person can act on."""

import difflib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bigbrotr_dagster.config.options import FLAT_NAMES, SynchronizerConfig
from bigbrotr_dagster.config.variables import ALLOW_PRIVATE_VARIABLE, CONFIG_VARIABLE, DISCOVERY_VARIABLE
from bigbrotr_dagster.errors import CannotGoOn

log = logging.getLogger(__name__)

REMOVED = {
    "concurrency": "networks.<network>.max_tasks",
    "filter": "processing.filters",
    "max_consecutive_failures": "the run-failure sensor and Dagster's run retries",
    "metrics": "the command `metrics`",
    "overrides": "networks.<network>.timeout",
    "pool": "BIGBROTR_DATABASE_URL",
    "source": "the registry: relays add, relays remove",
    "sync_timeouts": "timeouts",
    "time_range": "processing.since and processing.until",
    "timeouts.relay_clearnet": "timeouts.clearnet",
    "timeouts.relay_i2p": "timeouts.i2p",
    "timeouts.relay_loki": "timeouts.loki",
    "timeouts.relay_tor": "timeouts.tor",
    "tor": "networks.tor",
    "worker_log_level": "--log-level",
}
"""Options of BigBrotr that have no effect here, and what does their job."""


class ConfigError(CannotGoOn):
    """The configuration cannot be used; the message is one line that names file and key."""


def load_config(path: Path | None = None, *, overlay: Mapping[str, Any] | None = None) -> SynchronizerConfig:
    """The configuration in `path`, else in the file that `BIGBROTR_CONFIG` names, else the defaults.

    What a component of a Dagster project gives (`overlay`, nested as the file is) goes before the file.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key or a wrong value; or the overlay,
            `BIGBROTR_ALLOW_PRIVATE` or `BIGBROTR_DISCOVERY` does.
    """
    named = named_file(path)
    config = SynchronizerConfig() if named is None else parse_config(read_options(named), str(named))
    if is_set(DISCOVERY_VARIABLE) and "enabled" not in config.discovery.model_fields_set:
        discovery = config.discovery.model_copy(update={"enabled": True})
        config = config.model_copy(update={"discovery": discovery})
    config = _overlaid(config, overlay) if overlay else config
    return config.with_overrides(allow_private=True) if is_set(ALLOW_PRIVATE_VARIABLE) else config


def _overlaid(config: SynchronizerConfig, overlay: Mapping[str, Any]) -> SynchronizerConfig:
    try:
        return SynchronizerConfig.model_validate(_merged(config.model_dump(), overlay))
    except ValidationError as error:
        raise ConfigError(f"the component's attributes: {problems(error)[0]}") from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both have a section, that is merged as well."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        is_section = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(under, value) if is_section else value  # type: ignore[arg-type]
    return merged


def named_file(path: Path | None) -> Path | None:
    """The file with the options: the one that is given, else the one that `BIGBROTR_CONFIG` names; None: none."""
    return path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)


def is_set(variable: str) -> bool:
    """Whether a variable that switches something on is 1.

    Raises:
        ConfigError: it is something else.
    """
    value = os.environ.get(variable, "")
    if value not in ("", "1"):
        raise ConfigError(f"{variable} is 1 or not set, not {value!r}")
    return bool(value)


def parse_config(options: dict[str, Any], name: str) -> SynchronizerConfig:
    """Validate options that were read from a file called `name`.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    for key in removed_options(options):
        extra = {"event": "option_removed", "fields": {"file": name, "option": key, "use": REMOVED[key]}}
        log.warning("%s: %s has no effect here; use %s", name, key, REMOVED[key], extra=extra)
    try:
        return SynchronizerConfig.model_validate(without_removed(options))
    except ValidationError as error:
        raise ConfigError(f"{name}: {problems(error)[0]}") from error


def removed_options(options: dict[str, Any]) -> list[str]:
    """The names in `REMOVED` that are given."""
    found = []
    for name in REMOVED:
        section, _, key = name.rpartition(".")
        given = options.get(section) if section else options
        if isinstance(given, dict) and key in given:
            found.append(name)
    return found


def without_removed(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those in `REMOVED`."""
    kept = dict(options)
    for name in removed_options(options):
        section, _, key = name.rpartition(".")
        if section:
            kept[section] = {other: value for other, value in kept[section].items() if other != key}
        else:
            del kept[key]
    return kept


def for_one_run(config: SynchronizerConfig, **overrides: Any) -> SynchronizerConfig:
    """The configuration with other values for one run: those of `SynchronizerConfig.with_overrides`.

    Raises:
        ConfigError: a value that the option does not allow.
    """
    try:
        return config.with_overrides(**overrides)
    except ValidationError as error:
        raise ConfigError(f"the run's config: {problems(error)[0]}") from error


def read_options(path: Path) -> dict[str, Any]:
    """What a file says, unchecked.

    Raises:
        ConfigError: it is missing, or no YAML mapping.
    """
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}: not YAML{where}: {getattr(error, 'problem', error)}") from error
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ConfigError(f"{path}: a mapping of options is expected, not {type(options).__name__}")
    return {str(key): value for key, value in options.items()}


def problems(error: ValidationError) -> list[str]:
    """A line for each mistake. None repeats a value of the file, which may be a secret."""
    return [_problem(each["type"], each["loc"], each["msg"]) for each in error.errors()]


def _problem(kind: str, place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _known_keys(place[:-1]), n=1)
        return f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    text = message.removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys that a section of the configuration takes."""
    model: type[BaseModel] = SynchronizerConfig
    if not path:
        return [*model.model_fields, *FLAT_NAMES]
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
