"""Reading the configuration from YAML, with errors that a person can act on."""

import difflib
import logging
import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bigbrotr_dagster.config.options import FLAT_NAMES, SynchronizerConfig
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
    "tor": "networks.tor",
    "worker_log_level": "Dagster's log level",
}
"""Options of BigBrotr that have no effect here, and what does their job."""


ALLOW_PRIVATE_VARIABLE = "BIGBROTR_ALLOW_PRIVATE"
"""Environment variable: 1 sets `allow_private` whatever the file says; `--allow-private` reaches processes so."""


DISCOVERY_VARIABLE = "BIGBROTR_DISCOVERY"
"""1 sets `discovery.enabled` where the file does not say; so `dev` does for the public network."""


class ConfigError(CannotGoOn):
    """The configuration cannot be used; the message is one line that names file and key."""


def load_config(path: Path | None = None) -> SynchronizerConfig:
    """The configuration in `path`, else in the file that `BIGBROTR_CONFIG` names, else the defaults.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key or a wrong value; or
            `BIGBROTR_ALLOW_PRIVATE` or `BIGBROTR_DISCOVERY` does.
    """
    named = path or (Path(os.environ["BIGBROTR_CONFIG"]) if os.environ.get("BIGBROTR_CONFIG") else None)
    config = SynchronizerConfig() if named is None else parse_config(_read(named), str(named))
    if _is_set(DISCOVERY_VARIABLE) and "enabled" not in config.discovery.model_fields_set:
        discovery = config.discovery.model_copy(update={"enabled": True})
        config = config.model_copy(update={"discovery": discovery})
    return config.with_overrides(allow_private=True) if _is_set(ALLOW_PRIVATE_VARIABLE) else config


def _is_set(variable: str) -> bool:
    value = os.environ.get(variable, "")
    if value not in ("", "1"):
        raise ConfigError(f"{variable} is 1 or not set, not {value!r}")
    return bool(value)


def parse_config(options: dict[str, Any], name: str) -> SynchronizerConfig:
    """Validate options that were read from a file called `name`.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    for key in REMOVED.keys() & options.keys():
        log.warning("%s: %s has no effect here; use %s", name, key, REMOVED[key])
    try:
        return SynchronizerConfig.model_validate(
            {key: value for key, value in options.items() if key not in REMOVED}
        )
    except ValidationError as error:
        raise ConfigError(f"{name}: {_first_problem(error)}") from error


def for_one_run(config: SynchronizerConfig, **overrides: Any) -> SynchronizerConfig:
    """The configuration with other values for one run: those of `SynchronizerConfig.with_overrides`.

    Raises:
        ConfigError: a value that the option does not allow.
    """
    try:
        return config.with_overrides(**overrides)
    except ValidationError as error:
        raise ConfigError(f"the run's config: {_first_problem(error)}") from error


def _read(path: Path) -> dict[str, Any]:
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


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(problem["loc"][:-1]), n=1)
        return f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    text = problem["msg"].removeprefix("Value error, ")
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
