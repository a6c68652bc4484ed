"""How the program logs: on stderr, a line each, for people (`text`) or for machines (`json`).

What is meant for a person at the terminal (`complain`) is a plain line in `text`. In `json` all of stderr is one
object a line: `time` (UTC), `level`, `logger`, `message`, and of what has a name `event` and its values. The names
are those of BigBrotr's log events where they mean the same.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from bigbrotr_dagster.config import ConfigError
from bigbrotr_dagster.storage.trouble import one_line

PROGRAM = "bigbrotr-dagster"
LEVEL_VARIABLE = "BIGBROTR_LOG_LEVEL"
FORMAT_VARIABLE = "BIGBROTR_LOG_FORMAT"
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

OURS = logging.getLogger("bigbrotr_dagster")
log = logging.getLogger(__name__)


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """UTC, whatever this machine's zone is."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


class _Json(_Text):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = dict(getattr(record, "fields", {}))
        said["time"] = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03}Z"
        said |= {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if hasattr(record, "event"):
            said["event"] = record.event
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


class _Stderr(logging.Handler):
    """Whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_LEVEL = re.compile(r" - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - ")
_stderr = _Stderr()
_service: list[str] = []


def is_json() -> bool:
    """Whether stderr is for machines."""
    return isinstance(_stderr.formatter, _Json)


def set_up_logging() -> None:
    """Log as the environment says; other packages than ours are heard from warnings on.

    Raises:
        ConfigError: BIGBROTR_LOG_LEVEL or BIGBROTR_LOG_FORMAT is something else than they may be.
    """
    root = logging.getLogger()
    root.removeHandler(_stderr)
    _service.clear()
    _stderr.setFormatter(_Text())
    if _chosen(FORMAT_VARIABLE, FORMATS, "text") == "json":
        _stderr.setFormatter(_Json())
    if is_json() or not root.handlers:  # whoever embeds us may have handlers of his own
        root.addHandler(_stderr)
    level = getattr(logging, _chosen(LEVEL_VARIABLE, LEVELS, "warning").upper())
    root.setLevel(max(logging.WARNING, level))
    OURS.setLevel(level)
    logging.captureWarnings(is_json())


def _chosen(variable: str, allowed: tuple[str, ...], otherwise: str) -> str:
    value = (os.environ.get(variable) or otherwise).lower()
    if value not in allowed:
        raise ConfigError(f"{variable} is one of {', '.join(allowed)}, not {value!r}")
    return value


def as_record(line: bytes, program: str) -> str:
    """A line of Dagster's as one of ours: its own JSON by our names, and what else it, or a run, prints.

    A traceback is as many records as it has lines. `program` is the logger where the line does not say.
    """
    text = _COLOURS.sub("", line.decode("utf-8", "replace")).rstrip()
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict) and {"event", "timestamp"} <= said.keys():
        time_, message = said.pop("timestamp"), said.pop("event")
        return json.dumps(said | {"time": f"{time_[:23]}Z", "message": message})
    found = _LEVEL.search(text)
    moment = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03}Z"
    level = found[1].lower() if found else "info"
    return json.dumps({"time": stamp, "level": level, "logger": f"dagster.{program}", "message": text})


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--log-level` and `--log-format`: they go before the environment, and reach what is started."""
    for option, variable, allowed, told in (
        ("--log-format", FORMAT_VARIABLE, FORMATS, "How log lines look; default: BIGBROTR_LOG_FORMAT, else text."),
        ("--log-level", LEVEL_VARIABLE, LEVELS, "From where on; default: BIGBROTR_LOG_LEVEL, else warning."),
    ):
        command = click.option(
            option,
            type=click.Choice(allowed, case_sensitive=False),
            callback=_take(variable),
            expose_value=False,
            help=told,
        )(command)
    return command


def _take(variable: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def take(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        before = os.environ.get(variable)

        def restore() -> None:
            os.environ.pop(variable, None)
            if before is not None:
                os.environ[variable] = before

        os.environ[variable] = value.lower()
        context.call_on_close(restore)
        set_up_logging()

    return take


def tell(event: str, **fields: Any) -> None:
    """Log that something happened, at level info."""
    words = [event, *(f"{name}={json.dumps(value, default=str)}" for name, value in fields.items())]
    log.info("%s", " ".join(words), extra={"event": event, "fields": fields})


def complain(text: str, event: str = "complaint", level: int = logging.WARNING, **fields: Any) -> None:
    """One line on stderr, whatever the text is; for machines a record of this name, with these values."""
    line = one_line(text)
    if is_json():
        log.log(level, "%s", line, extra={"event": event, "fields": fields})
    else:
        print(f"{PROGRAM}: {line}", file=sys.stderr)


def complain_of_failure(text: str) -> None:
    """The one line that says why the command ends; it fails by the name of the service that runs."""
    complain(text, f"{_service[-1]}_failed" if _service else "command_failed", logging.ERROR)


@contextmanager
def service(name: str, **fields: Any) -> Iterator[None]:
    """Tell that a service begins, and how it ends. Where it fails, `complain_of_failure` says so."""
    _service.append(name)
    tell("service_started", service=name, **fields)
    try:
        yield
    except KeyboardInterrupt:
        tell("shutdown_signal", signal="SIGINT")
        raise
    except SystemExit as end:  # of our handler of SIGTERM, or of click
        if end.code == 143:
            tell("shutdown_signal", signal="SIGTERM")
        raise
    else:
        tell(f"{name}_completed")
    finally:
        tell("service_stopped", service=name)
