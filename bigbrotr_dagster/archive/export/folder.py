"""A data set in a folder, and how a day takes the place of an older one there.

    event/date=2026-11-25/event.parquet
    observation/date=2026-11-25/observation.parquet
    manifest/date=2026-11-25.json
    .bigbrotr-export/2026-11-25/           what is not in its place yet; no name there ends in .parquet

A day is made in the hidden folder, its manifest last: from there on it counts as made, and three renames put it in
its place. A rename replaces one file by another in one step, so whoever reads finds all of the old file or all of
the new one, at every moment, and never both. A process that is killed among the renames leaves the rest to the
next export, which begins with them; one that is killed earlier leaves the older day as it was.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.errors import ExportRefused, PlaceInUse
from bigbrotr_dagster.archive.export.manifest import (
    FOLDER,
    File,
    Manifest,
    manifest_path,
    manifest_text,
    read_manifest,
)

STAGING, LOCK, MANIFEST = ".bigbrotr-export", "lock", "manifest.json"


@dataclass(frozen=True, slots=True)
class Staging:
    """A day on its way."""

    root: Path
    day: Day
    folder: Path

    @property
    def events(self) -> Path:
        """Where the events are to be written."""
        return self.folder / "event.part"

    @property
    def observations(self) -> Path:
        """Where the observations are to be written."""
        return self.folder / "observation.part"

    def complete(self, document: dict[str, Any]) -> list[File]:
        """Write the manifest of the two files: from here on the day counts as made. Returns both.

        Raises:
            OSError: it cannot be written.
        """
        places = _places(self.folder, self.root, self.day)
        files = []
        for path in (self.events, self.observations):
            place = str(places[path].relative_to(self.root))
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            files.append(File(place, path.stat().st_size, digest))
        _write_whole(self.folder / MANIFEST, manifest_text(document, files))
        return files


@dataclass(frozen=True, slots=True)
class Folder:
    """A data set of the archive with this identity. Whoever writes to it opens it with `opened_folder`."""

    root: Path
    archive: str

    def manifests(self) -> dict[Day, Manifest]:
        """The days that are there.

        Raises:
            ExportRefused: a manifest is none, or another archive's.
        """
        found = {}
        for path in sorted((self.root / FOLDER).glob("date=*.json")):
            day, manifest = read_manifest(path.read_bytes(), str(path))
            if manifest.archive != self.archive:
                raise ExportRefused(f"{self.root} holds days of another archive ({manifest.archive})")
            found[day] = manifest
        return found

    @contextmanager
    def staged(self, day: Day) -> Iterator[Staging]:
        """A place to make a day; in the end it is put where it belongs, unless something went wrong.

        Raises:
            OSError: the folder cannot be written.
        """
        staging = Staging(self.root, day, self.root / STAGING / str(day))
        staging.folder.mkdir(parents=True)
        try:
            yield staging
        except BaseException:
            shutil.rmtree(staging.folder, ignore_errors=True)
            raise
        publish(self.root, day)


@contextmanager
def opened_folder(folder: Path, archive: str) -> Iterator[Folder]:
    """A data set to write to; the folder is made if need be. What was made before is put in its place.

    Raises:
        PlaceInUse: another process writes to it.
        ExportRefused: it holds days of another archive.
        OSError: it cannot be written.
    """
    (folder / STAGING).mkdir(parents=True, exist_ok=True)
    with (folder / STAGING / LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlaceInUse(f"another export writes to {folder}") from error
        for left in sorted((folder / STAGING).glob("????-??-??")):
            if (left / MANIFEST).exists():
                publish(folder, Day.parse(left.name))
            else:
                shutil.rmtree(left)
        data_set = Folder(folder, archive)
        data_set.manifests()  # for it refuses what is not ours
        yield data_set


def publish(root: Path, day: Day) -> None:
    """Put a day that was made in its place, or what is left of it: the manifest last.

    Events go before observations: so no observation is ever there without its event.

    Raises:
        OSError: the folder cannot be written.
    """
    staging = root / STAGING / str(day)
    places = _places(staging, root, day)
    _sync_folder(staging)
    for target in places.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    for source, target in places.items():
        with suppress(FileNotFoundError):  # an earlier export has come so far
            source.replace(target)
            _sync_folder(target.parent)
    staging.rmdir()


def _places(staging: Path, root: Path, day: Day) -> dict[Path, Path]:
    """Where each file of a day is made, and where it belongs, in the order in which they are put there."""
    return {
        staging / "event.part": root / "event" / f"date={day}" / "event.parquet",
        staging / "observation.part": root / "observation" / f"date={day}" / "observation.parquet",
        staging / MANIFEST: root / manifest_path(day),
    }


def _write_whole(path: Path, text: bytes) -> None:
    """Under its name a file is there whole, or not at all, whenever the power goes."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _sync_folder(folder: Path) -> None:
    """Keep the names in a folder, too, whenever the power goes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
