"""What of a filter's events an archive leaves out by choice: no NIP-01 filter can say "all but these"."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from bigbrotr_dagster.nostr.event import Event


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The events that match all that is set; None is "any".

    `larger_than`: bytes of text, which is the content and all values of the tags, in UTF-8. `older_than`: seconds
    since `created_at`.
    """

    kinds: tuple[int, ...] | None = None
    authors: tuple[str, ...] | None = None
    larger_than: int | None = None
    older_than: int | None = None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The rule that `to_dict` gave."""
        lists = {key: tuple(fields[key]) for key in ("kinds", "authors") if key in fields}
        return cls(**{**fields, **lists})

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON has it, without what is not set."""
        return {
            key: sorted(set(value)) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value is not None
        }

    def matches(self, event: Event, now: float) -> bool:
        """Whether the event is left out at `now` (Unix time)."""
        if self.kinds is not None and event.kind not in self.kinds:
            return False
        if self.authors is not None and event.pubkey not in self.authors:
            return False
        if self.older_than is not None and event.created_at >= now - self.older_than:
            return False
        return self.larger_than is None or text_bytes(event) > self.larger_than


def text_bytes(event: Event) -> int:
    """Bytes of the content and of all values of the tags, in UTF-8."""
    values = (value for tag in event.tags for value in tag if value is not None)
    return len(event.content.encode()) + sum(len(value.encode()) for value in values)
