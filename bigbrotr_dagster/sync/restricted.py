"""Kinds that a relay keeps for whom they concern: private messages, gift wraps (NIP-42).

Some relays leave them out of what they answer anybody, and challenge only who asks for nothing else (strfry). So
one REQ for them alone, once a day, shows what a relay does. Where our key lets us in, they become a history of
their own; where it does not, or there is none, that is said beside the coverage, which is without them.
"""

from collections.abc import Sequence

from bigbrotr_dagster.nostr.connection import Connection
from bigbrotr_dagster.sync.asking import Asking
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.kinds import RESTRICTED_KINDS, Access
from bigbrotr_dagster.windowing.policy import Reaction, reaction


class Restricted:
    """The restricted kinds of one relay, in one run of its sync; `is_due`: what is known of them is a day old."""

    def __init__(self, habits: Habits, histories: Sequence[History], *, has_key: bool, is_due: bool) -> None:
        self._habits = habits
        self._all = [history.restricted for history in histories if history.restricted is not None]
        self._has_key = has_key
        if habits.restricted in (Access.GIVEN, Access.REFUSED) and not has_key:
            habits.note_access(Access.WITHHELD)
        is_new = habits.restricted is Access.UNKNOWN or (habits.restricted is Access.WITHHELD and has_key)
        self._is_asked = bool(self._all) and (is_new or is_due)
        self.opened = list(self._all) if habits.restricted is Access.GIVEN else []
        """Histories of these kinds that are asked for."""

    async def probe(self, connection: Connection, asking: Asking) -> list[History]:
        """Find out what the relay does, if that is due; returns the histories that are opened now."""
        if not self._is_asked or connection.closed:
            return []
        self._is_asked = False
        page = await asking.probe(connection, self._all[0])
        if reaction(page.outcome) is Reaction.REFUSED:
            self.refused()
        else:  # anything else is no reason to think that it keeps something back
            self._habits.note_access(Access.GIVEN if page.as_member else Access.OPEN)
        opened = [] if self._habits.restricted is not Access.GIVEN or self.opened else self._all
        self.opened += opened
        return opened

    def refused(self) -> None:
        """The relay does not give us these kinds."""
        self._habits.note_access(Access.REFUSED if self._has_key else Access.WITHHELD)

    @property
    def missing(self) -> tuple[int, ...]:
        """The kinds that the coverage is without."""
        access, hides = self._habits.restricted, self._habits.hides
        is_without = access in (Access.WITHHELD, Access.REFUSED) or (hides and access is not Access.GIVEN)
        return RESTRICTED_KINDS if self._all and is_without else ()
