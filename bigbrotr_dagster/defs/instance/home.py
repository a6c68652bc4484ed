"""The files that make a Dagster instance ours: dagster.yaml and workspace.yaml.

Without our dagster.yaml Dagster keeps its runs in SQLite files in DAGSTER_HOME, and sends telemetry. What we write
begins with a line that holds the digest of the rest: so a file that a person has changed is known, and kept.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import yaml

from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.address import data_dir
from bigbrotr_dagster.storage.private_files import make_data_dir, make_private_folder, write_whole

log = logging.getLogger(__name__)

FILES = ("dagster.yaml", "workspace.yaml")
STORAGE_MODULE = "bigbrotr_dagster.defs.instance_storage"
TOLD_VARIABLE = "BIGBROTR_HOME_TOLD"
"""Environment variable: a process above has said already what is wrong with DAGSTER_HOME."""

_HEAD = "# Written by bigbrotr-dagster; change it, and it is kept as you made it. sha256 of the rest: "
_EARLIER = (
    "e4a081c700bece2ae337fa1d809f2c770ba6493811af19fefe6473a672219e6c",
    "487fa5940de264ade1fdb4b03da99e4d848930189115042152673b4480d80d28",
    "8d39a09316b6c51469ae6df21d1d07ce5a9d14892cf8013ead57a70002f3158a",
)
"""Digests of the dagster.yaml of earlier versions, which wrote it without that line."""


class HomeError(CannotGoOn):
    """DAGSTER_HOME cannot be used; the message is one line."""


class Found(Enum):
    """What stands where a file of ours belongs."""

    MISSING = "missing"
    CURRENT = "current"
    OLD = "ours, of an earlier version"
    CHANGED = "changed by hand"


_DONE = {
    Found.MISSING: "written",
    Found.CURRENT: "is there already",
    Found.OLD: "brought up to date",
    Found.CHANGED: "was changed by hand, and is kept",
}


def prepare_home() -> Path:
    """The folder that Dagster reads dagster.yaml from: DAGSTER_HOME, else one of ours with our dagster.yaml.

    Raises:
        HomeError: DAGSTER_HOME is none that Dagster would take, or ours cannot be written.
    """
    given = os.environ.get("DAGSTER_HOME")
    if given:
        home = Path(given)
        if not home.is_absolute():
            raise HomeError(f"DAGSTER_HOME has to be an absolute path, and is {given!r}")
        if not home.is_dir():
            raise HomeError(f"DAGSTER_HOME names {given!r}, which is no folder: make it, or unset the variable")
        tell_of_home(home)
        return home
    home = data_dir() / "dagster"
    try:
        make_data_dir(data_dir())
        make_private_folder(home)
        home.chmod(0o700)
        state = write_ours(home, "dagster.yaml")
    except OSError as error:
        raise HomeError(f"{home}: {error.strerror or error}") from error
    if state is Found.CHANGED and not _is_of_today(home / "dagster.yaml"):
        kept, todays = home / "dagster.yaml", _source("dagster.yaml")
        log.warning("%s was changed by hand and is kept; today's is %s", kept, todays)
    tell_of_home(home)
    return home


def tell_of_home(home: Path | None = None) -> None:
    """One line, once, where the instance in DAGSTER_HOME does not keep its runs in the archive's PostgreSQL.

    Without that variable `dagster dev` reads dagster.yaml from the folder that it is started in.
    """
    given = str(home or os.environ.get("DAGSTER_HOME") or Path.cwd())
    if os.environ.get(TOLD_VARIABLE) == given or keeps_runs_in_postgres(Path(given)):
        return
    os.environ[TOLD_VARIABLE] = given
    lacks = "is not ours" if (Path(given) / "dagster.yaml").exists() else "is missing"
    log.warning(
        "%s %s: Dagster does not keep its runs in the archive's PostgreSQL, and may send telemetry; "
        "`bigbrotr-dagster init` writes ours",
        Path(given) / "dagster.yaml",
        lacks,
    )


def initialize(home: Path) -> Iterator[str]:
    """Write what a plain Dagster needs into a folder, and say of each file what was done.

    Raises:
        HomeError: a file cannot be written, or one that a person made keeps Dagster's runs elsewhere.
    """
    try:
        make_private_folder(home)
        for name in FILES:
            yield f"{home / name}: {_DONE[write_ours(home, name, 0o644)]}"
    except OSError as error:
        raise HomeError(f"{home}: {error.strerror or error}") from error
    if not keeps_runs_with_the_archive(home):
        raise HomeError(
            f"{home / 'dagster.yaml'} keeps runs elsewhere: give it `storage` as in {_source('dagster.yaml')}"
        )


def keeps_runs_with_the_archive(home: Path) -> bool:
    """Whether the folder's dagster.yaml names our storage."""
    storage = _storage(home)
    custom = storage.get("custom")
    return isinstance(custom, dict) and custom.get("module") == STORAGE_MODULE


def keeps_runs_in_postgres(home: Path) -> bool:
    """Whether they are where several machines can share them: `deploy/` has Dagster's own storage for PostgreSQL.

    Whose they are, a note in that database says (`storage.require_own`).
    """
    return "postgres" in _storage(home) or keeps_runs_with_the_archive(home)


def _storage(home: Path) -> dict[str, object]:
    """What the folder's dagster.yaml says of its storage; nothing where it says none that can be read."""
    try:
        storage = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))["storage"]
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError):
        return {}
    return storage if isinstance(storage, dict) else {}


def write_ours(home: Path, name: str, mode: int = 0o600) -> Found:
    """Write a file of ours where it is missing, or is ours and old; returns what was found there.

    Raises:
        OSError: it cannot be read or written.
    """
    path = home / name
    state = found(path)
    if state in (Found.MISSING, Found.OLD):
        write_whole(path, _written(name), mode)
    return state


def found(path: Path) -> Found:
    """What stands at a path whose name is one of `FILES`."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return Found.MISSING
    ours = _source(path.name).read_text(encoding="utf-8")
    head, _, rest = text.partition("\n")
    if text == ours or text == _written(path.name):
        return Found.CURRENT
    untouched = head == _HEAD + _digest(rest) or _digest(text) in _EARLIER
    return Found.OLD if untouched else Found.CHANGED


def _is_of_today(path: Path) -> bool:
    """Whether a changed file was written by this version."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(_written(path.name).partition("\n")[0])


def _written(name: str) -> str:
    text = _source(name).read_text(encoding="utf-8")
    return f"{_HEAD}{_digest(text)}\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _source(name: str) -> Path:
    """Our file: in an installed package; in a clone it stands beside the package."""
    package = Path(__file__).resolve().parents[2]
    return package / name if (package / name).exists() else package.parent / name
