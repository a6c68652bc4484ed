"""What the archive leaves out by choice."""

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from bigbrotr_dagster.config.section import Options
from bigbrotr_dagster.nostr.event import MAX_KIND
from bigbrotr_dagster.nostr.filter import LeftOut

Kind = Annotated[int, Field(ge=0, le=MAX_KIND, strict=True)]
Author = Annotated[str, Field(pattern=re.compile(r"^[0-9a-f]{64}$"))]


class LeaveOutConfig(Options):
    """Events that match all that is given here are not stored; `retention --delete` deletes those that were."""

    kinds: list[Kind] | None = Field(default=None, min_length=1)
    """Kinds. null: any."""
    authors: list[Author] | None = Field(default=None, min_length=1)
    """Public keys, 64 hex digits. null: any."""
    larger_than: int | None = Field(default=None, ge=0)
    """Bytes of text (the content and the values of the tags); larger events match. null: any."""
    older_than: int | None = Field(default=None, ge=3_600)
    """Seconds since `created_at`; older events match. null: any."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(value is None for value in (self.kinds, self.authors, self.larger_than, self.older_than)):
            raise ValueError("give kinds, authors, larger_than or older_than: without, everything is left out")
        return self

    def rule(self) -> LeftOut:
        """What it means for an event."""
        kinds = None if self.kinds is None else tuple(sorted(set(self.kinds)))
        authors = None if self.authors is None else tuple(sorted(set(self.authors)))
        return LeftOut(kinds, authors, self.larger_than, self.older_than)
