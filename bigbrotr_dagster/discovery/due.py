"""Whether there is something for discovery to do: a cheap look, for whoever decides when to do it."""

from dataclasses import dataclass

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.lists import is_list_due
from bigbrotr_dagster.discovery.scan import has_unread
from bigbrotr_dagster.discovery.validation import networks
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect

__all__ = ["Due", "what_is_due"]


@dataclass(frozen=True, slots=True)
class Due:
    """`events`: some have arrived since the last look; `candidates`: some may be tried; `lists`: some to be asked.

    `is_growing`: a relay was found a short time ago, so that others may follow soon.
    """

    events: bool
    candidates: bool
    lists: bool
    is_growing: bool

    @property
    def anything(self) -> bool:
        """Whether there is something to do."""
        return self.events or self.candidates or self.lists


def what_is_due(database_url: str, options: SynchronizerConfig) -> Due:
    """What discovery could do now.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    discovery = options.discovery
    values = {
        "networks": networks(options),
        "max_new_per_day": discovery.max_new_per_day,
        "interval": discovery.interval,
    }
    with connect(database_url) as connection:
        row = connection.execute(query("candidates_are_due"), values).fetchone()
        candidates, is_growing = row if row else (False, False)
        return Due(
            events=discovery.events.enabled and has_unread(connection),
            candidates=candidates,
            lists=any(is_list_due(connection, api) for api in discovery.apis),
            is_growing=is_growing,
        )
