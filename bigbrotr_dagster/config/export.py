"""The options of data sets: where they are written, and when a day is."""

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from bigbrotr_dagster.config.section import Options

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w!.*'()=+,-]+)*/?")


def _checked_place(text: str) -> str:
    """The text, if it names a folder or `s3://bucket/prefix`.

    Raises:
        ValueError: it is another address, or has more in it; the message repeats nothing, for that may be a key.
    """
    if text and ("://" not in text or _BUCKET.fullmatch(text)):
        return text
    raise ValueError("a folder, or s3://bucket/prefix; endpoint and keys come from the environment (AWS_...)")


def _day(value: object) -> object:
    """YAML makes a date of what looks like one."""
    return value.isoformat() if isinstance(value, date) else value


def _checked_day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.isoformat() != text or day.year < 1970:
        raise ValueError("a day from 1970 on is expected, as YYYY-MM-DD")
    return text


class ExportConfig(Options):
    """Days of the archive as Parquet files (docs/data-sets.md); they need the extra `export`."""

    to: Annotated[str, AfterValidator(_checked_place)] | None = None
    """Folder, or `s3://bucket/prefix`, that `export` and `event_day` write to. null: `--to` has to name one."""
    share: float = Field(default=0.9, ge=0, le=1)
    """Of the relays, how many have to prove a day before it is written by itself."""
    since: Annotated[str, BeforeValidator(_day), AfterValidator(_checked_day)] = "2020-11-01"
    """First day (UTC) that `event_day` has a partition for; Nostr's first events are of that month."""

    def place(self, given: str | None) -> str | None:
        """Where to write: what is given, else `to`.

        Raises:
            ValueError: it is neither a folder nor `s3://bucket/prefix`.
        """
        return self.to if given is None else _checked_place(given)
