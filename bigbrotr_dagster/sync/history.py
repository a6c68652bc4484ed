"""What is held of one relay under one filter, and what is left to ask for."""

from bigbrotr_dagster.nostr.event import MAX_CREATED_AT
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing import Ask, Coverage, Gap, Habits, Proof, Walk


class History:
    """The seconds from `since` to `end`, each of them covered, a gap, or pending.

    `until` is the last second that is wanted at all: events between it and `end` were only not waited for.
    """

    def __init__(
        self, selection: Filter, since: int, end: int, until: int, covered: Coverage, gaps: list[Gap]
    ) -> None:
        self.filter = selection
        self.hash = selection.hash()
        self.gaps = gaps
        self._since = since
        self._until = until
        self._range = Coverage.between(since, min(end, until))
        self._settled = covered | Coverage(gap.interval for gap in gaps)

    def walk(self, limit: int, habits: Habits) -> Walk:
        """A walk through what is pending."""
        return Walk(self.pending, limit, habits)

    @property
    def pending(self) -> Coverage:
        return self._range - self._settled

    @property
    def reach(self) -> int | None:
        """The last second before the first pending one; None if `since` itself is pending."""
        return self._settled.end_of_stretch(self._since)

    def wants(self, created_at: int) -> bool:
        """Whether an event of that second belongs into the archive."""
        return self._since <= created_at <= self._until

    def settle(self, proof: Proof) -> None:
        """Take note of what an answer proved."""
        self.gaps.extend(proof.gaps)
        self._settled |= Coverage([*proof.covered, *(gap.interval for gap in proof.gaps)])

    def selection(self, ask: Ask) -> Filter | None:
        """The REQ's filter for an ask; None if this filter has nothing of what the ask narrows it to."""
        changes: dict[str, object] = {"since": ask.since, "until": ask.until, "limit": ask.limit}
        for name, wanted, own in (
            ("kinds", ask.kinds, self.filter.kinds),
            ("authors", ask.authors, self.filter.authors),
        ):
            if wanted is None:
                continue
            narrowed = [value for value in wanted if own is None or value in own]
            if not narrowed:
                return None
            changes[name] = tuple(narrowed)
        return self.filter.narrowed(**changes)


def open_history(
    given: dict[str, object],
    since: int,
    until: int | None,
    end: int,
    covered: dict[str, Coverage],
    gaps: dict[str, list[Gap]],
) -> History:
    """The history under a configured filter, whose own `since` and `until` narrow the range of the run."""
    bounded = Filter.from_dict(given)
    selection = bounded.narrowed(since=None, until=None, limit=None)
    return History(
        selection,
        max(since, bounded.since or 0),
        end,
        min(MAX_CREATED_AT if value is None else value for value in (until, bounded.until)),
        covered.get(selection.hash(), Coverage()),
        gaps.get(selection.hash(), []),
    )
