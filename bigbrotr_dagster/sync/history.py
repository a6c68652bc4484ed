"""What is held of one relay under one filter, and what is left to ask for."""

from collections.abc import Sequence
from dataclasses import replace

from bigbrotr_dagster.config import ProcessingConfig
from bigbrotr_dagster.nostr.event import MAX_CREATED_AT, Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.state import Nip77, SyncState
from bigbrotr_dagster.windowing.ages import Ages, Rate, joined
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.kinds import COMMON_KINDS, RESTRICTED_KINDS, grouped
from bigbrotr_dagster.windowing.tasks import Ask, Gap, Proof, Unproven
from bigbrotr_dagster.windowing.walk import Walk


class History:
    """The seconds from `since` to `end`, each of them covered, a gap, or pending.

    `until` is the last second that is wanted at all: events between it and `end` were only not waited for.
    `retried` are the gaps whose turn it is, `ages` tells which covered seconds are due to be read again, where
    late events arrive, and `rate` how many are expected. `proved_before` is what earlier runs covered.
    `named` is what a relay is asked for that refuses to give all kinds: the common ones by number, a few
    at a time, each few under a filter and a coverage of their own. `restricted` is what of it some relays give
    only to whom asks for nothing else, and only with our key; None where the filter is of no such kinds, or of no
    others.
    """

    def __init__(
        self,
        selection: Filter,
        bounds: tuple[int, int, int],
        covered: Coverage,
        gaps: list[Gap],
        retried: Coverage,
        ages: Ages,
        rate: Rate,
        named: "tuple[History, ...]" = (),
        restricted: "History | None" = None,
    ) -> None:
        self.filter = selection
        self.hash = selection.hash()
        self.gaps = gaps
        self._since, end, self._until = bounds
        self._range = Coverage.between(self._since, min(end, self._until))
        self._covered = covered
        self.proved_before = covered
        self._retried = retried & self._range
        self._ages = ages
        self._rate = rate
        self._read = Coverage()  # in this run
        self.named = named
        self._claims_from = self._since
        self._claims_until: int | None = MAX_CREATED_AT
        self.restricted = restricted

    def walks(self, limit: int, habits: Habits, *, is_compared: bool = False) -> list[Walk]:
        """One walk through what is pending, and what is asked for again; or two, which share what may be spent.

        Where it `is_compared`, nothing of what is due is read. To read that again may take all that a run may
        spend on a relay: then older seconds, where some are pending still, would never have their turn. Where
        there is nothing to ask for, the last second is asked for again: a run tells whether the relay is there.
        """
        pending, due = self.pending, Coverage() if is_compared else self._ages.due - self._read
        end = max((part.until for part in self._range), default=-1)
        if not due:
            todo = pending | self._retried
            return [Walk(todo or Coverage.between(end, end) & self._range, limit, habits)]
        newest = Coverage(part for part in pending if part.until == end)
        page = habits.enough(habits.most(limit))
        again = joined(due | newest, self._covered, self._rate, page)
        rest = (pending | self._retried) - again
        return [Walk(todo, limit, habits) for todo in (again, rest) if todo]

    @property
    def reads_again(self) -> bool:
        """Whether this run asks once more for seconds where late events may have come for hours."""
        return self._ages.reaches_back

    @property
    def read(self) -> tuple[Coverage, ...]:
        """By age: the seconds that were read when they were at least so old, this run's answers among them."""
        return self._ages.after(self._read)

    @property
    def since(self) -> int:
        """The first second that is wanted (Unix time)."""
        return self._since

    @property
    def settled(self) -> Coverage:
        """Seconds that are covered, or a gap."""
        return self._covered | Coverage(gap.interval for gap in self.gaps)

    @property
    def pending(self) -> Coverage:
        """Seconds of the range that are neither covered nor a gap."""
        return self._range - self.settled

    def unread(self, seconds: Coverage) -> Coverage:
        """Those of `seconds` that this run has not settled; an old gap that is tried again is among them."""
        return seconds - self._read

    @property
    def reach(self) -> int | None:
        """The last second before the first pending one; None if `since` itself is pending."""
        end = self.settled.end_of_stretch(self._claims_from)
        return None if end is None or self._claims_until is None else min(end, self._claims_until)

    def claim_no_more(self, since: int, until: int | None) -> None:
        """What `reach` says holds from `since` on, and ends at `until` (None: nowhere) at the latest."""
        self._claims_from, self._claims_until = since, until

    def wants(self, event: Event, now: float) -> bool:
        """Whether an event belongs into the archive: it is of these seconds, and not left out by choice."""
        return self._since <= event.created_at <= self._until and not self.filter.leaves_out(event, now)

    def settle(self, proof: Proof) -> None:
        """Take note of what an answer proved: what is covered, or a new gap, is no old gap any more.

        What is a new gap is covered no more.
        """
        covered, unproved = Coverage(proof.covered), Coverage(gap.interval for gap in proof.gaps)
        settled = covered | unproved
        if self.gaps:
            self.gaps = _without(self.gaps, settled)
        self.gaps.extend(proof.gaps)
        self._covered = (self._covered - unproved) | covered
        self._read |= settled

    def take_back(self, disproved: Coverage) -> None:
        """These seconds were covered, or named a gap, by mistake; they are pending again."""
        if disproved:
            self._covered -= disproved
            self.gaps = _without(self.gaps, disproved)
            self._read -= disproved

    def give_up(self, reason: Unproven, detail: str) -> Proof:
        """Name what is pending, and nobody can have, a gap; it grows together with those of the same reason."""
        pending = self.pending
        alike = Coverage(gap.interval for gap in self.gaps if gap.reason is reason)
        grown = [part for part in pending | alike if Coverage([part]) & pending]
        return Proof(gaps=tuple(Gap(part, reason, detail=detail[:200]) for part in grown))

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


def _without(gaps: Sequence[Gap], seconds: Coverage) -> list[Gap]:
    """What is left of these gaps outside `seconds`."""
    return [replace(gap, interval=part) for gap in gaps for part in Coverage([gap.interval]) - seconds]


def _compared(state: SyncState, key: Filter) -> Coverage:
    """Gaps that only a reconciliation can close, where there are any: what is withheld, no page shows."""
    if state.nip77 is not Nip77.SPOKEN or key.left_out:
        return Coverage()
    return Coverage(gap.interval for gap in state.gaps.get(key.hash(), []) if gap.reason is Unproven.WITHHELD)


def cursor_claims(wanted: ProcessingConfig) -> list[tuple[str, int]]:
    """What a cursor claims to be settled: for each filter's hash the first second (Unix time)."""
    filters = [wanted.asked(given) for given in wanted.filters]
    return [(_without_range(one).hash(), max(wanted.since, one.since or 0)) for one in filters]


def claim_as_configured(
    histories: Sequence[History], configured: ProcessingConfig, now: float, state: SyncState
) -> None:
    """Let a run that was told other seconds, or other filters, claim no more than is proved for the archive."""
    asked = {history.hash for history in histories}
    since = dict(cursor_claims(configured))
    others = [open_history(given, configured, now, state) for given in configured.filters]
    reaches = [one.reach for one in others if one.hash not in asked]
    known = [reach for reach in reaches if reach is not None]
    until = min([MAX_CREATED_AT, *known]) if len(known) == len(reaches) else None
    for history in histories:
        history.claim_no_more(since.get(history.hash, history.since), until)


def _without_range(given: Filter) -> Filter:
    """What coverage is kept under: the seconds are counted one by one."""
    return given.narrowed(since=None, until=None, limit=None)


def open_history(given: dict[str, object], wanted: ProcessingConfig, now: float, state: SyncState) -> History:
    """The history under a configured filter, whose own `since` and `until` narrow the range of the run."""
    bounded = wanted.asked(given)
    selection = _without_range(bounded)
    untils = [MAX_CREATED_AT if value is None else value for value in (wanted.until, bounded.until)]
    end = int((now if wanted.until is None else min(now, wanted.until)) - wanted.end_lag)
    bounds = (max(wanted.since, bounded.since or 0), end, min(untils))

    def under(key: Filter, named: tuple[History, ...] = (), restricted: History | None = None) -> History:
        name = key.hash()
        retried = Coverage(state.retried.get(name, [])) - _compared(state, key)
        covered = state.covered.get(name, Coverage())
        asked = Coverage.between(bounds[0], min(end, bounds[2]))
        ages = Ages(state.read.get(name, ()), covered, asked, now, wanted.lookback)
        gaps = state.gaps.get(name, [])
        return History(key, bounds, covered, gaps, retried, ages, state.rate, named, restricted)

    private = tuple(kind for kind in RESTRICTED_KINDS if selection.kinds is None or kind in selection.kinds)
    is_mixed = private and private != selection.kinds
    restricted = under(selection.narrowed(kinds=private)) if is_mixed else None
    groups = grouped(COMMON_KINDS) if selection.kinds is None else ()
    return under(selection, tuple(under(selection.narrowed(kinds=kinds)) for kinds in groups), restricted)
