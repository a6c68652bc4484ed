"""Which relays prove a day, and what the others lack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection


@dataclass(frozen=True, slots=True)
class Asked:
    """What a data set is of: all relays of `networks`, which can be reached, under the `filter`.

    A data set holds all kinds. So only coverage of everything says something of it, but for what is left out by
    choice.
    """

    networks: Sequence[str]
    filter: Filter

    @classmethod
    def of(cls, config: SynchronizerConfig) -> "Asked":
        """What the archive is configured for."""
        return cls(reachable_networks(config), config.processing.asked({}))


@dataclass(frozen=True, slots=True)
class Lacking:
    """A relay that does not prove a day: its pending seconds, and those in gaps by reason."""

    url: str
    pending: int
    gaps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """The registered relays by what they prove of a day.

    `filter`: what was asked for. `not_asked`: their network cannot be reached, and they were never tried; they do
    not count in the share.
    """

    filter: Mapping[str, Any]
    covered: Sequence[str]
    lacking: Sequence[Lacking]
    not_asked: Sequence[str]

    @property
    def share(self) -> float:
        """Of the relays that count those that prove every second of the day, 0 to 1; 0 where there are none."""
        relays = len(self.covered) + len(self.lacking)
        return len(self.covered) / relays if relays else 0.0

    def document(self) -> dict[str, Any]:
        """As the manifest has it."""
        lacking = [
            {"url": one.url, "pending_seconds": one.pending, "gap_seconds": one.gaps} for one in self.lacking
        ]
        return {
            "filter": dict(self.filter),
            "share": self.share,
            "covered": list(self.covered),
            "not_covered": lacking,
            "not_asked": list(self.not_asked),
        }


def day_coverage(connection: BlockingConnection, asked: Asked, day: Day) -> DayCoverage:
    """What is proved of a day."""
    wanted = {"filter_hash": asked.filter.hash(), "networks": list(asked.networks)}
    values = wanted | {"since": day.since, "until": day.until}
    covered, lacking, not_asked = [], [], []
    for url, counts, pending, gaps in connection.execute(query("day_coverage"), values):
        if not counts:
            not_asked.append(url)
        elif pending or gaps:
            lacking.append(Lacking(url, pending, gaps))
        else:
            covered.append(url)
    return DayCoverage(asked.filter.described(), covered, lacking, not_asked)
