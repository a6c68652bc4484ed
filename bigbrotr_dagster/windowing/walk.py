"""The walk through one relay's history under one filter: which REQ to send next, and what its answer proves.

Every second that the walk was given is at any time in exactly one of three sets:

    covered   an EOSE proved that every event in it was delivered
    gaps      it was asked for, and cannot be proved complete (the gap says why)
    pending   everything else

An answer moves seconds out of `pending`; a request that failed moves nothing. The events of an answer must be
stored before, or together with, what the answer's `Proof` says.
"""

from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.paging import Page
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Task


class Walk:
    """Newest seconds first, one ask at a time or several at once; each is either answered or failed.

    `limit` is the REQ's `limit`, in events. `habits` are the relay's and are shared by its walks.
    """

    def __init__(self, todo: Coverage, limit: int, habits: Habits) -> None:
        self.pending = todo
        self._limit = limit
        self._habits = habits
        self._tasks: list[Task] = [self._first_task(interval) for interval in todo]
        self._asked: dict[Ask, Task] = {}

    def _first_task(self, interval: Interval) -> Task:
        return Split(interval) if self._habits.order is Order.UNTRUSTED else Page(interval)

    def next(self) -> Ask | None:
        """The next request to send, or None when nothing is left that is not already asked for."""
        if not self._tasks:
            return None
        task = self._tasks.pop()
        ask = task.ask(self._limit, self._habits)
        self._asked[ask] = task
        return ask

    def answered(self, ask: Ask, answer: Answer) -> Proof:
        """Take the answer to `ask`, which ended with EOSE."""
        step = self._asked.pop(ask).answered(ask, answer, self._habits)
        self._tasks.extend(step.tasks)
        settled = [*step.proof.covered, *(gap.interval for gap in step.proof.gaps)]
        self.pending -= Coverage(settled)
        return step.proof

    def failed(self, ask: Ask) -> None:
        """Put `ask` back: its request did not end with EOSE, and proves nothing."""
        self._tasks.append(self._asked.pop(ask))
