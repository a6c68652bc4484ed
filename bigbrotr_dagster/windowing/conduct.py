"""How one relay is treated in one run: after this outcome, with this progress, what is next?

Theory of operation. `policy` says what an outcome means; this object says what is done about it. It owns every
number that restrains us: rung, `limit`, pause and patience, and how long a relay is left alone. It waits for
nothing and sends nothing. The shell does what it is told:

    judge    each answer, before it is taken: what the walk is told of its ask
    after    each answer, after it was taken: the same connection, another one, or the end
    ended    each connection: another one, and after how long, or the end, and as what the rest is named

`patience` bounds both: so often in a row may a relay put us off on one connection (`SLOW_DOWN`), and so many
connections in a row may bring nothing. A relay earns it: one that failed three runs in a row is only probed, until
it answers.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome
from bigbrotr_dagster.windowing.policy import Pace, Reaction, reaction, rule
from bigbrotr_dagster.windowing.rungs import Rung
from bigbrotr_dagster.windowing.tasks import Ask, Unproven

PATIENCE = 4
"""Requests, or connections, in a row that may bring nothing before the relay's sync is given up for this run."""

HALF_OPEN_AFTER = 3
"""Runs in a row that failed, after which a relay is only probed: one fruitless request ends the run."""

RESTART_SECONDS = 3.0
"""That a relay which was there a moment ago may refuse connections: its program restarts."""

FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
"""Seconds between two connections, where the first one brought nothing: doubling from one to the other."""

LONGEST_PAUSE = 30.0
"""Seconds between two requests, at most."""

PAGES_TO_GROW = 4
"""Answers in a row after which a relay that had broken off is asked for twice as much again."""

NARROW_TRIES = 2
"""Requests for kinds or authors that may go unanswered before the relay is taken not to answer such ones."""

EVENTS_PER_PAGE = 10
"""An answer may hold this many times the `limit` asked for: some relays ignore it."""

SHORT_WINDOW_REQUESTS = 500
"""Requests of one run to a relay that answers for two hours at a time: 40 days of history."""


class Verdict(StrEnum):
    """What an answer is to the walk that asked."""

    ANSWERED = "answered"
    """Proof: see `Walk.answered`."""
    SET_ASIDE = "set aside"
    """The relay will not answer an ask that is so narrow: see `Walk.refused`."""
    BROKEN = "broken"
    """More than we take, in one message: see `Walk.broken`."""
    FLOODED = "flooded"
    """More than we take, in events."""
    BURIED = "buried"
    """Nothing came but noise, and that may be in one place: as `BROKEN`, and the gap says so."""
    FAILED = "failed"
    """Nothing that says anything: see `Walk.failed`."""


class Move(StrEnum):
    """What the shell does next."""

    GO_ON = "go on"
    """The next ask, on this connection."""
    LEAVE = "leave"
    """This connection; `ended` says what then."""
    RECONNECT = "reconnect"
    NAME_KINDS = "name kinds"
    """Begin anew, on another connection, asking for kinds by number."""
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Decision:
    """`move`, after `pause` seconds. `gap`: what all that is pending becomes, where the relay has shown that it
    will not prove it.
    """

    move: Move
    pause: float = 0.0
    gap: Unproven | None = None


class Conduct:
    """One run's conduct towards one relay, whose `habits` it restrains.

    `failures`: runs in a row that failed before this one. `most`: the `limit` that the configuration wants. Times
    are seconds of one clock, whichever it is.
    """

    def __init__(self, habits: Habits, failures: int, most: int) -> None:
        self.patience = 1 if failures >= HALF_OPEN_AFTER else PATIENCE
        self.restrained = 0
        """Times that less was asked for in this run: a way forward, like an answer."""
        self._habits = habits
        self._largest_limit = most  # that the relay may be asked for
        self._unended = 0  # answers that brought events and no EOSE
        self._is_noisy = False  # nothing but noise came in place of an answer, once or more
        self._has_proved = False  # anything at all
        self._unanswered = Counter[Ask]()  # narrow asks, by how often nothing came
        self._on_connection = 0  # events since the last one was opened
        self._slowed = 0  # answers in a row that put us off
        self._proved = 0  # answers on this connection
        self._named_kinds = habits.rung.names_kinds
        self._restrained_before = 0  # this connection
        self._fruitless = 0  # connections in a row
        self._waits = _delays()
        self._away_since: float | None = None

    # -- connections --

    def connected(self) -> None:
        """The relay is there, and was asked nothing yet on this connection."""
        self._away_since = None
        self._on_connection = self._slowed = self._proved = 0

    def refused(self, now: float, *, may_restart: bool) -> None:
        """A relay that is known to be alive could not be connected to."""
        if may_restart and self._away_since is None:
            self._away_since = now

    @property
    def is_away(self) -> bool:
        """Whether the relay's program may be restarting."""
        return self._away_since is not None

    def ended(self, outcome: Outcome, progress: int, now: float, *, deceived: bool = False) -> Decision:
        """What is next after a connection that `outcome` ended.

        `progress`: answers since the one before that brought the sync nearer to its end; `deceived`: no EOSE of
        this relay's can be believed.
        """
        if self._habits.rung.names_kinds and not self._named_kinds:
            self._named_kinds = True
            return Decision(Move.NAME_KINDS)
        has_advanced = progress > 0 or self.restrained > self._restrained_before
        self._restrained_before = self.restrained
        if has_advanced:
            self._waits, self._fruitless, self.patience = _delays(), 0, PATIENCE
        if self._is_over(now) or deceived or reaction(outcome) in (Reaction.REFUSED, Reaction.SLOW_DOWN):
            return Decision(Move.GIVE_UP, gap=self._gap(outcome, deceived))
        return Decision(Move.RECONNECT, 0.0 if has_advanced else next(self._waits))

    def _is_over(self, now: float) -> bool:
        """Count a connection that ended early; returns whether it was the last one of this run."""
        if self._away_since is not None:
            return now - self._away_since >= RESTART_SECONDS
        self._fruitless += 1
        return self._fruitless >= self.patience

    def _gap(self, outcome: Outcome, deceived: bool) -> Unproven | None:
        """As what the rest is named; None where it stays pending, for another run may have it."""
        if deceived:
            return Unproven.NO_EOSE
        means = reaction(outcome)
        if means is Reaction.REFUSED or (outcome.ending is Ending.NOTICE and not self._unended):
            self._habits.rung = Rung.FREE  # none of them helped
            return Unproven.REFUSED
        if (self._unended or self._is_noisy) and means is not Reaction.PROVED:
            return Unproven.NO_EOSE
        return None

    # -- answers --

    def received(self, events: int) -> None:
        """So many events have come on this connection, for whichever request."""
        self._on_connection += events

    def judge(self, ask: Ask, outcome: Outcome, received: int) -> Verdict:
        """What the answer to `ask` is, which brought so many events; and what it teaches us."""
        if reaction(outcome) is Reaction.PROVED:
            self._has_proved = True
            del self._unanswered[ask]  # it can be answered: only those in a row count
            return Verdict.ANSWERED
        if ask.is_narrow and not received and self._is_set_aside(ask, outcome):
            return Verdict.SET_ASIDE
        self._unended += received > 0
        if outcome.ending is Ending.DISCONNECTED and received:
            self.ask_for(max(1, self._on_connection // 2))  # a relay may break off after so many events
        elif outcome.prefix == NOISE:
            self._is_noisy = True
            return Verdict.BURIED if self._has_proved else Verdict.FAILED
        elif outcome.ending is Ending.PROTOCOL_ERROR:
            return Verdict.FLOODED if received > EVENTS_PER_PAGE * ask.limit else Verdict.BROKEN
        return Verdict.FAILED

    def _is_set_aside(self, ask: Ask, outcome: Outcome) -> bool:
        """A relay may drop a connection for a message that is too long: then it gets shorter ones, first."""
        if outcome.ending is Ending.PROTOCOL_ERROR or outcome.prefix == "rate-limited":
            return False
        if outcome.ending is Ending.DISCONNECTED and ask.authors and self._habits.ask_in_fewer_bytes():
            self.restrained += 1
            return False
        self._unanswered[ask] += 1
        return reaction(outcome) is Reaction.REFUSED or self._unanswered[ask] >= NARROW_TRIES

    def ask_for(self, limit: int) -> None:
        """Ask for at most so many events from now on."""
        if self._habits.limit is None or limit < self._habits.limit:
            self._habits.limit = limit
            self.restrained += 1

    def minds_limits(self, outcome: Outcome, *, closed: bool) -> bool:
        """Whether it matters what the relay says of itself (NIP-11) before `after` is asked."""
        return reaction(outcome) is Reaction.REFUSED and not closed and self._can_climb(outcome)

    def after(
        self,
        outcome: Outcome,
        ask: Ask,
        *,
        closed: bool = False,
        optional: bool = False,
        stated: int | None = None,
    ) -> Decision:
        """What is next after this outcome of `ask`, alone on its connection, which is `closed` now or not.

        `optional`: what was asked for is not worth a change of our ways. `stated`: the relay's `max_limit`.
        """
        habits = self._habits
        habits.pause = _paused_after(outcome, habits.pause)
        go_on, leave = Decision(Move.GO_ON, habits.pause), Decision(Move.LEAVE, habits.pause)
        match reaction(outcome):
            case Reaction.PROVED:
                self._note_proof()
                return go_on
            case Reaction.SLOW_DOWN if self._slowed < self.patience and not closed:
                self._slowed += 1
                return go_on
            case Reaction.REFUSED if optional:
                return leave
            case Reaction.REFUSED if self._can_heed(stated, outcome, ask, closed):
                return go_on
            case Reaction.REFUSED if self._can_climb(outcome):
                habits.rung = Rung(habits.rung + 1)
                return leave if closed or habits.rung is Rung.KINDS_NAMED else go_on
        return leave

    def _note_proof(self) -> None:
        self._slowed, self.patience = 0, PATIENCE
        self._proved += 1
        if self._habits.limit is not None and self._proved % PAGES_TO_GROW == 0:
            self._habits.limit = min(2 * self._habits.limit, self._largest_limit)

    def _can_heed(self, stated: int | None, outcome: Outcome, ask: Ask, closed: bool) -> bool:
        """Whether the relay refused more than it says that it answers; it is not asked for that again."""
        if stated is None or ask.limit <= stated or not self.minds_limits(outcome, closed=closed):
            return False
        self._largest_limit = stated
        self.ask_for(stated)
        return True

    def _can_climb(self, outcome: Outcome) -> bool:
        """Whether asking for less may help: a relay that wants us authenticated wants nothing else."""
        return self._habits.rung < max(Rung) and outcome.prefix != "auth-required"

    def is_spent(self, requests: int, share: float = 1.0) -> bool:
        """Whether a relay that answers for two hours at a time has had its requests of this run, or this share."""
        return self._habits.rung.shortens and requests >= share * SHORT_WINDOW_REQUESTS


def _paused_after(outcome: Outcome, pause: float) -> float:
    """The pause that a relay needs, learned from how it took the last request: up fast, down slowly."""
    match rule(outcome).pace:
        case Pace.SLOWER:
            return min(LONGEST_PAUSE, max(0.1, 2 * pause))
        case Pace.FASTER:
            return 0.7 * pause if pause > 0.02 else 0.0
        case Pace.SAME:
            return pause


def _delays() -> Iterator[float]:
    delay = FIRST_WAIT
    while True:
        yield delay
        delay = min(2 * delay, LONGEST_WAIT)
