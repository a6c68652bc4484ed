"""What either side lacks, as the relay's lists of ids tell it."""

from bigbrotr_dagster.negentropy.errors import ContradictoryAnswer, LimitExceeded
from bigbrotr_dagster.negentropy.items import Items
from bigbrotr_dagster.negentropy.wire import ID_SIZE, TIME_SIZE, Range, time_of


class Differences:
    """The ids that only one side has, each once, in the order in which they were found."""

    def __init__(self, max_need: int, max_have: int) -> None:
        self.need: dict[bytes, tuple[int, int]] = {}
        self.have: dict[bytes, int] = {}
        self.fresh_need: list[bytes] = []
        self.fresh_have: list[bytes] = []
        self._max_need = max_need
        self._max_have = max_have

    def compare(self, listed: Range, items: Items, start: int, stop: int) -> None:
        """Compare a list of the relay's with our items in its range, those from `start` to before `stop`.

        Raises:
            ContradictoryAnswer: An id lies outside the range.
            LimitExceeded: There are more differences than allowed.
        """
        theirs = _listed_ids(listed)
        for index in range(start, stop):
            id = items.id(index)
            if id in theirs:
                del theirs[id]
            elif id not in self.have:
                self.have[id] = time_of(items[index])
                self.fresh_have.append(id)
        seconds = _seconds(listed)
        for id in theirs:
            if id not in self.need:
                self.need[id] = seconds
                self.fresh_need.append(id)
        if len(self.need) > self._max_need:
            raise LimitExceeded("max_need", f"the relay lists {len(self.need)} ids that we do not have")
        if len(self.have) > self._max_have:
            raise LimitExceeded("max_have", f"the relay lacks {len(self.have)} ids that we have")

    def check(self, items: Items) -> None:
        """Raise if the relay listed an id of ours at another time than it has.

        Raises:
            ContradictoryAnswer: It did.
        """
        if not self.need:
            return
        for index in range(len(items)):
            if items.id(index) in self.need:
                raise ContradictoryAnswer(f"id {items.id(index).hex()} is listed at a time that it does not have")


def _seconds(part: Range) -> tuple[int, int]:
    """The first and the last second that have a place in a range."""
    return time_of(part.lower), time_of(part.upper) - (len(part.upper) == TIME_SIZE)


def _listed_ids(listed: Range) -> dict[bytes, None]:
    """The ids of a list, each once, in its order.

    Whether one lies outside the range can be seen within one second only: the list holds no times.
    """
    payload = listed.payload
    ids = dict.fromkeys(payload[at : at + ID_SIZE] for at in range(0, len(payload), ID_SIZE))
    since, until = _seconds(listed)
    if since == until:
        above, below = listed.lower[TIME_SIZE:], listed.upper[TIME_SIZE:]
        for id in ids:
            if id < above or (below and id >= below):
                bounds = f"from {above.hex() or '00'} to {below.hex() or 'the last'}"
                raise ContradictoryAnswer(f"id {id.hex()} is listed among the ids {bounds} of second {since}")
    return ids
