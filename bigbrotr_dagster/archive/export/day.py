"""A day of a data set: its name, and its seconds."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

SECONDS = 86_400
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """A day in UTC, by its number since 1970-01-01."""

    number: int

    @property
    def since(self) -> int:
        """Its first second (Unix time)."""
        return self.number * SECONDS

    @property
    def until(self) -> int:
        """The first second after it (Unix time)."""
        return self.since + SECONDS

    def __str__(self) -> str:
        return (EPOCH + timedelta(days=self.number)).isoformat()

    @classmethod
    def parse(cls, text: str) -> "Day":
        """The day that `YYYY-MM-DD` names.

        Raises:
            ValueError: it names none, or one before 1970.
        """
        found = date.fromisoformat(text)
        if found.isoformat() != text or found < EPOCH:
            raise ValueError(f"{text} is no day from 1970 on, as YYYY-MM-DD")
        return cls((found - EPOCH).days)

    @classmethod
    def of(cls, timestamp: float) -> "Day":
        """The day that holds this second (Unix time)."""
        return cls((datetime.fromtimestamp(timestamp, UTC).date() - EPOCH).days)
