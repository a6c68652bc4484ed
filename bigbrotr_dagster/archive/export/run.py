"""An export: days of the archive, one after another, into a folder."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bigbrotr_dagster import __version__
from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.due import due_days
from bigbrotr_dagster.archive.export.errors import ExportRefused
from bigbrotr_dagster.archive.export.folder import FORMAT, DataSet, opened
from bigbrotr_dagster.archive.export.snapshot import snapshot, write_day
from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks
from bigbrotr_dagster.storage.databases import archive_identity


@dataclass(frozen=True, slots=True)
class ExportedDay:
    """A day that was written. `why`: `new`, `changed`, `format` or `asked`; `bytes`: of both files.

    `share`: of the relays that count, those that prove every second of the day.
    """

    date: str
    why: str
    events: int
    observations: int
    bytes: int
    share: float


def export(
    database_url: str, config: SynchronizerConfig, folder: Path, days: Sequence[str] = ()
) -> Iterator[ExportedDay]:
    """Write these days (`YYYY-MM-DD`) into the folder, or else all that are due; each is told of when it is there.

    What an earlier export had ready when it was killed is put in its place first.

    Raises:
        ExportRefused: a day is none or has not begun; pyarrow is missing; the folder is in use, or of
            another archive.
        DatabaseUnavailable: the server does not answer, or goes away meanwhile.
        OSError: the folder cannot be written.
    """
    today = Day.of(time.time())
    asked = sorted({parsed_day(text, today) for text in days})
    if find_spec("pyarrow") is None:
        raise ExportRefused("export needs more: pip install 'bigbrotr-dagster[export]'")
    networks, identity = reachable_networks(config), archive_identity(database_url)
    with opened(folder, identity) as data_set:
        why = dict.fromkeys(asked, "asked")
        if not asked:
            with snapshot(database_url) as connection:
                written = data_set.manifests()
                why = due_days(connection, written, networks, share=config.export.share, today=today)
        for day, reason in why.items():
            yield _export_day(database_url, networks, data_set, day, reason)


def parsed_day(text: str, today: Day | None = None) -> Day:
    """The day that a person names.

    Raises:
        ExportRefused: it is no day, or has not begun.
    """
    try:
        day = Day.parse(text)
    except ValueError as error:
        raise ExportRefused(f"{text!r} is no day from 1970 on, as YYYY-MM-DD") from error
    if day > (today or Day.of(time.time())):
        raise ExportRefused(f"{day} has not begun (days are UTC's)")
    return day


def _export_day(
    database_url: str, networks: Sequence[str], data_set: DataSet, day: Day, reason: str
) -> ExportedDay:
    with data_set.staged(day) as staging:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        totals, coverage = write_day(database_url, networks, day, staging.events, staging.observations)
        files = staging.complete(
            {
                "format": FORMAT,
                "date": str(day),
                "since": day.since,
                "until": day.until,
                "archive": data_set.archive,
                "made_at": made_at,
                "made_by": f"bigbrotr-dagster {__version__}",
                "totals": totals.document(),
                "coverage": coverage.document(),
            }
        )
    size = sum(file.bytes for file in files)
    return ExportedDay(str(day), reason, totals.events, totals.observations, size, coverage.share)
