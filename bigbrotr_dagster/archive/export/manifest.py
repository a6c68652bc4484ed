"""What a day's manifest says: of which archive the day is, what it holds, and in which files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.errors import ExportRefused

FORMAT = 1
"""Of files and manifest: days of another one are written anew."""

FOLDER = "manifest"
"""Where manifests are, in the data set."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as the manifest has it: its path in the data set, its bytes and their SHA-256 (hex)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is read again of a manifest.

    `totals`: what the archive held of the day, as `DayTotals.document`; `share`: of the relays that count, those
    that proved it.
    """

    format: int
    archive: str
    totals: dict[str, int | None]
    files: tuple[File, ...]
    share: float


def manifest_path(day: Day) -> str:
    """Where a day's manifest is, in the data set."""
    return f"{FOLDER}/date={day}.json"


def manifest_text(document: dict[str, Any], files: Sequence[File]) -> bytes:
    """The manifest of these files, as JSON."""
    return orjson.dumps(document | {"files": [asdict(file) for file in files]}, option=orjson.OPT_INDENT_2) + b"\n"


def read_manifest(text: bytes, path: str) -> tuple[Day, Manifest]:
    """The day that a path names, and what its manifest says. `path`: as a person finds it.

    Raises:
        ExportRefused: it is no manifest.
    """
    name = path.rpartition("/")[2]
    try:
        day = Day.parse(name.removeprefix("date=").removesuffix(".json"))
        given = orjson.loads(text)
        files = tuple(File(one["path"], one["bytes"], one["sha256"]) for one in given["files"])
        share = float(given["coverage"]["share"])
        return day, Manifest(given["format"], given["archive"], given["totals"], files, share)
    except (ValueError, KeyError, TypeError) as error:
        raise ExportRefused(f"{path} is no manifest of a data set; move it away") from error
