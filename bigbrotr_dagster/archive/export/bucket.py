"""A data set in S3-compatible storage, and how a day takes the place of an older one there.

    event/date=2026-11-25/<sha256>.parquet
    observation/date=2026-11-25/<sha256>.parquet
    manifest/date=2026-11-25.json

Nothing can be renamed in such a storage, and two objects are never replaced at once. So files are called after
what is in them: new ones lie beside the old ones, until the manifest, one object that is replaced in one step,
names them; then the old ones are removed. Whoever reads what a manifest names has all of one day, old or new;
where a file is gone meanwhile, another manifest is there. A process that is killed leaves files that no manifest
names, and the next export removes them. An upload that is not completed cannot be seen.

A day is made in a temporary folder of this machine: its name is known only when it is whole. Memory stays flat: an
upload holds one part at a time. Needs the extra `export`.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow import fs

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
from bigbrotr_dagster.storage.locks import lock_key
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect

TABLES = ("event", "observation")
OURS = re.compile(r"(?:event|observation)/date=\d{4}-\d\d-\d\d/[0-9a-f]{64}\.parquet")
"""What may be removed; whatever else lies there is somebody's."""

SCHEME = "s3://"
BLOCK = 2**20
"""Bytes that are read of a file at once."""

READERS = 16
"""Manifests that are read at once: each is a request, and takes some ten milliseconds."""

CONNECT_SECONDS, REQUEST_SECONDS = 10, 60

Known = dict[str, tuple[tuple[int, int], Day, Manifest]]
"""By path: time and size of a manifest that was read, and what it says."""

KNOWN: Known = {}
"""What this process has read: a look at 2,000 days that have not changed is two requests. One that is replaced
within a second, in the same size, is missed, and its day written once more. Whoever writes reads by himself."""


@dataclass(frozen=True, slots=True)
class Staging:
    """A day on its way, in a folder of this machine."""

    folder: Path
    day: Day
    files: dict[Path, File] = field(default_factory=dict)
    manifest: bytearray = field(default_factory=bytearray)

    @property
    def events(self) -> Path:
        """Where the events are to be written."""
        return self.folder / "event"

    @property
    def observations(self) -> Path:
        """Where the observations are to be written."""
        return self.folder / "observation"

    def complete(self, document: dict[str, Any]) -> list[File]:
        """Make the manifest of the two files; returns both.

        Raises:
            OSError: a file cannot be read.
        """
        for path in (self.events, self.observations):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            place = f"{path.name}/date={self.day}/{digest}.parquet"
            self.files[path] = File(place, path.stat().st_size, digest)
        self.manifest[:] = manifest_text(document, list(self.files.values()))
        return list(self.files.values())


class Bucket:
    """A data set of the archive with this identity. Whoever writes to it opens it with `opened_bucket`.

    `place`: `s3://bucket/prefix`; `known`: manifests that were read; `is_held` raises when the lock was lost.
    """

    def __init__(
        self, place: str, archive: str, known: Known = KNOWN, is_held: Callable[[], None] = lambda: None
    ) -> None:
        self.place, self.archive = place.rstrip("/"), archive
        self._root = self.place.removeprefix(SCHEME)
        self._known, self._is_held = known, is_held
        self._storage = _storage()

    def manifests(self) -> dict[Day, Manifest]:
        """The days that are there.

        Raises:
            ExportRefused: the storage refuses or does not answer; a manifest is none, or another archive's.
        """
        with self._told(), ThreadPoolExecutor(READERS) as threads:
            found = dict(threads.map(self._manifest, self._listed(FOLDER)))
        for manifest in found.values():
            if manifest.archive != self.archive:
                raise ExportRefused(f"{self.place} holds days of another archive ({manifest.archive})")
        return dict(sorted(found.items()))

    @contextmanager
    def staged(self, day: Day) -> Iterator[Staging]:
        """A place to make a day; in the end it is put where it belongs, unless something went wrong.

        Raises:
            ExportRefused: the storage refuses or does not answer.
            DatabaseUnavailable: the lock was lost meanwhile.
            OSError: the temporary folder cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="bigbrotr-export-") as folder:
            staging = Staging(Path(folder), day)
            yield staging
            with self._told():
                self._publish(staging)

    def tidy_up(self) -> None:
        """Remove the files of a killed export: those that no manifest names.

        Raises:
            ExportRefused: as `manifests`.
        """
        named = {file.path for manifest in self.manifests().values() for file in manifest.files}
        with self._told():
            self._remove(TABLES, named)

    def check(self) -> None:
        """Look whether the bucket is there.

        Raises:
            ExportRefused: it is not, or the storage refuses or does not answer.
        """
        bucket = self._root.partition("/")[0]
        with self._told():
            if self._storage.get_file_info(bucket).type == fs.FileType.NotFound:
                raise ExportRefused(f"{self.place}: there is no bucket {bucket}")

    def _publish(self, staging: Staging) -> None:
        """The manifest comes after all that it names, and nothing that a manifest names is ever removed."""
        self._is_held()
        for source, file in staging.files.items():
            self._upload(source, file)
        self._is_held()
        with self._storage.open_output_stream(f"{self._root}/{manifest_path(staging.day)}") as stream:
            stream.write(bytes(staging.manifest))  # a single write: all of it becomes the object, or nothing
        folders = [f"{table}/date={staging.day}" for table in TABLES]
        self._remove(folders, {file.path for file in staging.files.values()})

    def _remove(self, folders: Iterable[str], named: Collection[str]) -> None:
        """Remove what is ours in these folders, but for what a manifest names."""
        for folder in folders:
            for info in self._listed(folder):
                path = info.path.removeprefix(f"{self._root}/")
                if OURS.fullmatch(path) and path not in named:
                    self._storage.delete_file(info.path)

    def _upload(self, source: Path, file: File) -> None:
        """Let a file be there, whole. Arrow completes an upload that breaks off, so its size is looked at."""
        path = f"{self._root}/{file.path}"
        if self._storage.get_file_info(path).size == file.bytes:
            return  # an earlier export has come so far, or the day is as it was
        try:
            with source.open("rb") as data, self._storage.open_output_stream(path) as stream:
                while block := data.read(BLOCK):
                    stream.write(block)
            if (size := self._storage.get_file_info(path).size) != file.bytes:
                raise OSError(f"{file.path} has {size} bytes there, not {file.bytes}")
        except BaseException:
            with suppress(OSError):
                self._storage.delete_file(path)
            raise

    def _listed(self, folder: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True, recursive=True)
        return [info for info in self._storage.get_file_info(selector) if info.type == fs.FileType.File]

    def _manifest(self, info: fs.FileInfo) -> tuple[Day, Manifest]:
        version = (info.mtime_ns, info.size)
        if self._known.get(info.path, ())[:1] != (version,):
            with self._storage.open_input_stream(info.path) as stream:
                self._known[info.path] = (version, *read_manifest(stream.read(), f"{SCHEME}{info.path}"))
        _, day, manifest = self._known[info.path]
        return day, manifest

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What Arrow says of the storage, as one line that names the place."""
        try:
            yield
        except OSError as error:
            line = re.sub(r" \(Request ID: .*", "", " ".join(str(error).split()))
            raise ExportRefused(f"{self.place}: {line}") from error


@contextmanager
def opened_bucket(place: str, archive: str, database_url: str) -> Iterator[Bucket]:
    """A data set to write to; what no manifest names is removed. The archive's database holds the lock on it.

    Raises:
        PlaceInUse: another process writes to it.
        ExportRefused: the storage refuses or does not answer, or it holds days of another archive.
        DatabaseUnavailable: the server does not answer.
    """
    key = lock_key("export", place.rstrip("/"))
    with connect(database_url) as connection:
        row = connection.execute(query("take_lock"), {"key": key}).fetchone()
        if not (row and row[0]):
            raise PlaceInUse(f"another export writes to {place}")
        bucket = Bucket(place, archive, {}, lambda: _beat(connection.execute))
        bucket.check()
        bucket.tidy_up()
        yield bucket


def _beat(execute: Callable[[bytes], object]) -> None:
    execute(query("beat"))


def _storage() -> fs.S3FileSystem:
    """Keys and region are the SDK's to find (environment, ~/.aws, the machine's role); it asks for no endpoint."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(
        endpoint_override=endpoint or None,
        background_writes=False,  # a file is read faster than it is sent: what waits would be held in memory
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
    )
