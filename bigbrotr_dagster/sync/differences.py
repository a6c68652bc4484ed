"""What a reconciliation has shown is stored: claims, what is fetched, what is withheld, and what is gone."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.connection import Connection, ReconcileEnding, Reply
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.holdings import Withheld, load_withheld
from bigbrotr_dagster.storage.ingest import BatchWriter, Compared
from bigbrotr_dagster.sync.asking import Asking
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.retrying import retry_gap_after
from bigbrotr_dagster.windowing.tasks import Gap, Proof, Unproven

MOST_IDS = 500
"""Ids of one REQ: strfry answers no more of them, and takes no more than 128 KiB."""

FEW_IDS = 16
"""Where none of so many comes, none of them will."""

MOST_IN_VAIN = 32
"""REQs that may bring nothing at all, in one window."""

MOST_WITHHELD = 1_000
"""Events that a relay may claim under one filter and not send; one that claims more does not hold what it says."""

AT_ONCE = 1_000
"""Claims in one delivery."""

LOOKED_UP = 5_000
"""Ids whose events are looked for at once."""


class Differences:
    """Stores what the talks of one run have shown. `listed` counts the ids that the relay holds and we do not."""

    def __init__(
        self,
        asking: Asking,
        writer: BatchWriter,
        relay_url: str,
        *,
        trust_claims: bool,
        is_late: Callable[[], bool],
    ) -> None:
        self.listed = 0
        self._asking = asking
        self._writer = writer
        self._url = relay_url
        self._trusts = trust_claims
        self._is_late = is_late

    async def resolve(
        self, connection: Connection, history: History, window: Interval, reconciliation: Reconciliation
    ) -> ReconcileEnding:
        """Store what a finished talk about the window has shown, and what that proves.

        Returns FINISHED; DISCONNECTED where not all of it could be fetched, so that nothing is proved; LIED where
        the relay claims too much that it does not send.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        need = reconciliation.need
        self.listed += len(need)
        before = await self._writer.read(lambda database: load_withheld(database, self._url, history.hash))
        is_old = window.since in history.proved_before  # up to what this run has read, at the newest end
        claimed = await self._claim(history, list(need), is_old) if self._trusts else set()
        waiting = {id for id in need if id in before and _waits(before[id])} - claimed
        wanted = [id for id in need if id not in waiting and id not in claimed]
        fetched = await self._fetch(connection, history, wanted)
        if fetched is None:
            return ReconcileEnding.DISCONNECTED
        came, refused = fetched
        missing = [id for id in wanted if id not in came]
        if len(before.keys() | missing) > MOST_WITHHELD:
            return ReconcileEnding.LIED
        withheld = {id: _place(need[id], window) for id in missing}
        compared = Compared(
            gone=list(reconciliation.have),
            back=[id for id in came if is_old],
            withheld=withheld,
            refused=refused,
            settled=[id for id in before if _is_settled(id, before[id].place, window, need, waiting, withheld)],
        )
        unsure = [place for id, place in withheld.items() if id not in refused]
        unsure += [_place(need[id], window) for id in waiting if not before[id].is_refused]
        await self._asking.deliver_compared(history, compared, _proof(window, unsure))
        return ReconcileEnding.FINISHED

    async def _claim(self, history: History, ids: Sequence[bytes], are_late: bool) -> set[bytes]:
        """Take the relay's word for those that are stored already; returns them.

        Some are written while the next ones are looked up.
        """
        claimed: set[bytes] = set()
        for start in range(0, len(ids), LOOKED_UP):
            hexed = {id.hex(): id for id in ids[start : start + LOOKED_UP]}
            stored = [hexed[id] for id in await self._writer.stored(list(hexed))]
            for first in range(0, len(stored), AT_ONCE):
                some = stored[first : first + AT_ONCE]
                compared = Compared(claimed=some, are_late=are_late, back=some if are_late else ())
                await self._asking.deliver_compared(history, compared, Proof())
            claimed.update(stored)
        return claimed

    async def _fetch(
        self, connection: Connection, history: History, ids: Sequence[bytes]
    ) -> tuple[Collection[bytes], Collection[bytes]] | None:
        """Ask for events by their ids; returns which are stored now, and for which came what is no event.

        None where it could not go on.

        An answer that is short shows how many the relay gives at once. Where nothing comes, half as many are next.
        """
        left = deque(list(ids[at : at + MOST_IDS]) for at in range(0, len(ids), MOST_IDS))
        came: set[bytes] = set()
        refused: set[bytes] = set()
        in_vain = 0
        while left and in_vain < MOST_IN_VAIN:
            if self._is_late() or connection.closed:
                return None
            some = left.popleft()
            selection = Filter(ids=tuple(id.hex() for id in some), limit=len(some))
            page = await self._asking.fetch(connection, history, selection, len(some))
            got = {bytes.fromhex(event.id) for event in page.events}.intersection(some)
            bad = _refused(page, [id for id in some if id not in got])
            came |= got
            refused |= bad
            in_vain += not got and not bad
            rest = [id for id in some if id not in got and id not in bad]
            if rest and (got or bad or len(some) > FEW_IDS):
                size = len(got) + len(bad) or -(-len(rest) // 2)
                left.extendleft(reversed([rest[at : at + size] for at in range(0, len(rest), size)]))
        if connection.closed and left:
            return None
        await self._writer.flush()
        stored = await self._writer.stored([id.hex() for id in came])
        valid = {id for id in came if id.hex() in stored}
        return valid, refused | (came - valid)  # what is forged is in quarantine by now


def _refused(page: Reply, rest: Sequence[bytes]) -> set[bytes]:
    """Those of the ids in whose place came what is no event: by what it claims to be, or for want of another."""
    if page.refused >= len(rest):
        return set(rest)
    hexed = {id.hex(): id for id in rest}
    return {hexed[item.id] for item in page.rejected if item.id in hexed}


def _waits(withheld: Withheld) -> bool:
    """Whether it is not the time yet to ask for it again."""
    return withheld.age < retry_gap_after(Unproven.WITHHELD, withheld.tries)


def _place(bounds: tuple[int, int], window: Interval) -> Interval:
    """The seconds of the window in which an id lies that was listed between these two."""
    since = min(max(bounds[0], window.since), window.until)
    return Interval(since, max(since, min(bounds[1], window.until)))


def _is_settled(
    id: bytes,
    place: Interval,
    window: Interval,
    need: Mapping[bytes, tuple[int, int]],
    waiting: Collection[bytes],
    withheld: Mapping[bytes, Interval],
) -> bool:
    """Whether something that had been withheld has come, or is claimed no more, as far as this window shows."""
    if id in need:
        return id not in waiting and id not in withheld
    return window.since <= place.since and place.until <= window.until


def _proof(window: Interval, unsure: Collection[Interval]) -> Proof:
    """All of the window is proved but for the places of what is withheld."""
    unproved = Coverage(unsure)
    missing = {part: sum(place.since in part for place in unsure) for part in unproved}
    gaps = tuple(Gap(part, Unproven.WITHHELD, missing=missing[part]) for part in unproved)
    return Proof(tuple(Coverage([window]) - unproved), gaps)
