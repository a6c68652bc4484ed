"""Where a data set can be: in a folder, or in S3-compatible storage; both are used in the same way."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.folder import Folder, opened_folder
from bigbrotr_dagster.archive.export.manifest import File, Manifest

BUCKET = "s3://"


class Staging(Protocol):
    """A day on its way."""

    @property
    def events(self) -> Path:
        """Where the events are to be written."""

    @property
    def observations(self) -> Path:
        """Where the observations are to be written."""

    def complete(self, document: dict[str, Any]) -> list[File]:
        """Make the manifest of the two files; returns both."""


class DataSet(Protocol):
    """Days of one archive."""

    @property
    def archive(self) -> str:
        """The identity of the archive that it is made of."""

    def manifests(self) -> Mapping[Day, Manifest]:
        """The days that are there."""

    def staged(self, day: Day) -> AbstractContextManager[Staging]:
        """A place to make a day; in the end it is put where it belongs, unless something went wrong."""


def data_set(place: str, archive: str) -> DataSet:
    """The data set at a place, to be read: nothing is made or changed.

    Raises:
        ExportRefused: the storage cannot be used.
    """
    if not place.startswith(BUCKET):
        return Folder(Path(place), archive)
    from bigbrotr_dagster.archive.export.bucket import Bucket  # it needs an extra

    return Bucket(place, archive)


def opened(place: str, archive: str, database_url: str) -> AbstractContextManager[DataSet]:
    """The data set at a place, to be written: by this process alone. What a killed export left is tidied up.

    Raises:
        PlaceInUse: another process writes to it.
        ExportRefused: the place cannot be used, or holds days of another archive.
        DatabaseUnavailable: the server does not answer.
        OSError: the folder cannot be written.
    """
    if not place.startswith(BUCKET):
        return opened_folder(Path(place), archive)
    from bigbrotr_dagster.archive.export.bucket import opened_bucket  # it needs an extra

    return opened_bucket(place, archive, database_url)
