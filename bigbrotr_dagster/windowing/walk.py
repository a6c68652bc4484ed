"""The walk through one relay's history under one filter: which REQ to send next, and what its answer proves.

Every second that the walk was given is at any time in exactly one of three sets:

    covered   an EOSE proved that every event in it was delivered
    gaps      it was asked for, and cannot be proved complete (the gap says why)
    pending   everything else

An answer moves seconds out of `pending`; a request that failed moves nothing. The events of an answer must be
stored before, or together with, what the answer's `Proof` says.

Theory of operation. A walk is a stack of tasks, the newest seconds on top. A task owns one window, asks one thing
about it, and is frozen: what an answer does not settle, other tasks take over. Where the relay does as NIP-01
says, there are `Page`s and one `Confirm`. Everything else is a reason to look more carefully:

    Page       the newest of the window, which an honest relay cuts at its old end (`paging`)
    Confirm    nothing seems to be left: is that so below the newest second, and of kinds that nobody hides?
    Check      a page was cut: did it really hold the newest events? Its newest part alone tells (`checking`)
    Split      the relay's cuts cannot be trusted: the whole and its halves have to agree (`splitting`)
    Again      the halves brought more than the whole: was that cut, or is more there now?
    Readable   whole and halves agree: as `Confirm`
    Sift       nothing but rubbish filled the answer: find out below which second something else comes (`sifting`)
    Agree      one second, of a relay whose cap varies: ask until three answers agree (`saturated`)
    Saturated  one second fills an answer: narrow it by kinds and authors (`saturated`)
    Oversized  an event larger than we take is in the way: find its second (`oversized`)

Which may follow which; "end" is that all of the window is covered or a gap. A test compares this with what walks
are seen to do:

    Page       -> Page Check Confirm Split Sift Agree Saturated Oversized end
    Confirm    -> Confirm Page Split Saturated Oversized end
    Check      -> Check Split end
    Split      -> Split Again Readable Page Agree Saturated end
    Again      -> Readable Split end
    Readable   -> Readable Split Saturated end
    Sift       -> Sift Split Page end
    Agree      -> Agree Saturated end
    Saturated  -> Saturated end
    Oversized  -> Oversized Page end

Any of them may be asked twice first, where what was rejected may have been in the way (`repeated`).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeGuard

from bigbrotr_dagster.windowing.cuts import Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.oversized import Oversized
from bigbrotr_dagster.windowing.paging import Page
from bigbrotr_dagster.windowing.repeated import Repeated
from bigbrotr_dagster.windowing.rungs import SHORT_WINDOW
from bigbrotr_dagster.windowing.saturated import Saturated
from bigbrotr_dagster.windowing.sifting import Sift
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Breakable, Narrow, Proof, Step, Task

FIRST_SECONDS = 2
"""With a spare second below (see `Habits.bounds`), the rest is still not asked for from 0 on."""


class Walk:
    """Newest seconds first, one ask at a time or several at once; each is either answered or failed.

    `limit` is the REQ's `limit`, in events. `habits` are the relay's and are shared by its walks. `steps` counts
    the answers that brought the walk nearer to its end, whether they proved something or not.
    """

    def __init__(self, todo: Coverage, limit: int, habits: Habits) -> None:
        self.pending = todo
        self.steps = 0
        self._limit = limit
        self._habits = habits
        self._tasks = self._first_tasks()
        self._asked: dict[Ask, Task] = {}

    def _first_tasks(self) -> list[Task]:
        return [self._first_task(part) for interval in self.pending for part in _askable(interval)]

    def _first_task(self, interval: Interval) -> Task:
        return Split(interval) if self._habits.order is Order.UNTRUSTED else Page(interval)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to ask for."""
        return not self._tasks and not self._asked

    def next(self) -> Ask | None:
        """The next request to send, or None when nothing is left that is not already asked for."""
        if not self._tasks:
            return None
        task = self._shortened(self._tasks.pop())
        ask = task.ask(self._habits.most(self._limit), self._habits)
        self._asked[ask] = task
        return ask

    def lay_out(self, most: int, shortest: int, longest: int) -> None:
        """Cut windows into parts of `shortest` to `longest` seconds, until `most` requests can go out together.

        What lies below the parts stays whole: however long nothing happened there, one answer shows it.
        """
        while (missing := most - len(self._tasks)) > 0:
            whole = [(place, task) for place, task in enumerate(self._tasks) if _is_whole(task)]
            if not whole:
                return
            place, task = max(whole, key=lambda placed: placed[1].window.seconds)
            part = max(shortest, min(longest, task.window.seconds // (missing + 1)))
            if part >= task.window.seconds:
                return
            self._tasks[place : place + 1] = _cut(task, part)

    def restart(self, disproved: Coverage) -> None:
        """Ask anew for what is `disproved`, and for all that is pending, whatever was concluded about that so far.

        The answers that are still to come were asked for under the same error, and prove nothing.
        """
        self.pending |= disproved
        self._tasks = self._first_tasks()
        self._asked.clear()

    def proved_otherwise(self, pending: Coverage) -> None:
        """Only these seconds are left to ask for; the others were proved by other means meanwhile."""
        if self.pending - pending:
            self.pending &= pending
            self.restart(Coverage())

    def answered(self, ask: Ask, answer: Answer) -> Proof:
        """Take the answer to `ask`, which ended with EOSE."""
        task = self._asked.pop(ask, None)
        if task is None:
            return Proof()
        self._habits.learn(ask, answer)
        if not isinstance(task, Repeated | Oversized | Sift):  # these prove nothing by what was rejected
            task = Repeated(task)
        return self._take(task.answered(ask, answer, self._habits))

    def failed(self, ask: Ask) -> None:
        """Put `ask` back: its request did not end with EOSE, and proves nothing."""
        task = self._asked.pop(ask, None)
        if task is not None:
            self._tasks.append(task)

    def refused(self, ask: Ask, detail: str) -> Proof | None:
        """As `failed`, where the relay will not answer an ask that is so narrow; None where the ask is not.

        What only that could have proved is set aside, as a gap with `detail`: what is older goes on.
        """
        task = _itself(self._asked.get(ask))
        if not ask.is_narrow or not isinstance(task, Narrow):
            return None
        del self._asked[ask]
        return self._take(task.refused(ask, detail, self._habits))

    @property
    def crowded(self) -> int | None:
        """The second that is asked for next, if it filled an answer and nobody has told what is known of it."""
        task = self._tasks[-1] if self._tasks else None
        return task.second if isinstance(task, Saturated) and task.known is None else None

    def supply(self, authors: Iterable[str], stated: int | None) -> None:
        """Tell of the `crowded` second: authors who were active, and the `max_limit` that the relay states."""
        task = self._tasks[-1]
        if isinstance(task, Saturated):
            self._tasks[-1] = task.supplied(authors, self._habits.most(self._limit), stated)

    def broken(self, ask: Ask, detail: str, *, flood: bool = False) -> Proof:
        """As `failed`, where the answer was more than we take, in one message or in all.

        What is too large is looked for, and becomes a gap of its second; the rest of the window is not lost.
        `flood`: the relay sent more events than it was asked for, so that only a smaller window helps.
        """
        task = _itself(self._asked.pop(ask, None))
        if flood and isinstance(task, Page):
            task = Split(task.window)
        if not isinstance(task, Breakable):
            self._tasks += [] if task is None else [task]
            return Proof()
        return self._take(task.broken(ask, detail, self._habits))

    def _take(self, step: Step) -> Proof:
        self.steps += 1
        self._tasks.extend(step.tasks)
        settled = [*step.proof.covered, *(gap.interval for gap in step.proof.gaps)]
        self.pending -= Coverage(settled)
        return step.proof

    def _shortened(self, task: Task) -> Task:
        """The newest part of a window that is short enough to be asked for; the rest is put back."""
        longest = SHORT_WINDOW - 2  # asks may be a second wider at each end
        if not self._habits.rung.shortens or not _is_whole(task) or task.window.seconds <= longest:
            return task
        rest, newest = _cut(task, longest)
        self._tasks.append(rest)
        return newest


def _itself(task: Task | None) -> Task | None:
    return task.task if isinstance(task, Repeated) else task


def _is_whole(task: Task) -> TypeGuard[Page | Split]:
    """The task asks for its whole window, which can be cut in any way."""
    return isinstance(task, Page) or (isinstance(task, Split) and task.whole is None)


def _cut(task: Page | Split, seconds: int) -> tuple[Task, Task]:
    """The rest of the task's window, and its newest `seconds`."""
    since, until = task.window.since, task.window.until
    rest = Interval(since, until - seconds)
    newest = replace(task, window=Interval(until - seconds + 1, until))
    return Page(rest) if isinstance(task, Page) else replace(task, window=rest), newest


def _askable(interval: Interval) -> tuple[Interval, ...]:
    """The first seconds of all apart: there are relays that answer nothing at all where `since` is 0."""
    if interval.since >= FIRST_SECONDS or interval.until < FIRST_SECONDS:
        return (interval,)
    return Interval(interval.since, FIRST_SECONDS - 1), Interval(FIRST_SECONDS, interval.until)
