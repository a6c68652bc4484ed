"""Whole conversations with a relay, as data: what came, and what is next. No socket, no clock."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.windowing.conduct import (
    HALF_OPEN_AFTER,
    LONGEST_PAUSE,
    LONGEST_WAIT,
    PAGES_TO_GROW,
    PATIENCE,
    RESTART_SECONDS,
    SHORT_WINDOW_REQUESTS,
    Conduct,
    Move,
    Verdict,
)
from bigbrotr_dagster.windowing.cuts import Order
from bigbrotr_dagster.windowing.habits import MEMORY, Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import Access
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome
from bigbrotr_dagster.windowing.retrying import DAY, HOUR, TriedGap, gaps_to_try, retry_after, retry_gap_after
from bigbrotr_dagster.windowing.rungs import Rung
from bigbrotr_dagster.windowing.tasks import Ask, Unproven

WIDE = Ask(0, 100, 500)
NARROW = Ask(7, 7, 500, authors=("a",))

EOSE = Outcome(Ending.EOSE)
SILENT = Outcome(Ending.TIMEOUT, text="silent for 10 s")
DROPPED = Outcome(Ending.DISCONNECTED, text="no close frame")
SLOWER = Outcome(Ending.CLOSED, prefix="rate-limited", text="slow down")
BLOCKED = Outcome(Ending.CLOSED, prefix="blocked", text="no scraping")
MEMBERS = Outcome(Ending.CLOSED, prefix="auth-required", text="members only")
NOTICED = Outcome(Ending.NOTICE, text="could not finish")
TOO_LONG = Outcome(Ending.PROTOCOL_ERROR, text="too many bytes")
NOTHING_BUT_NOISE = Outcome(Ending.PROTOCOL_ERROR, prefix=NOISE, text="no answer")

ALL = [EOSE, SILENT, DROPPED, SLOWER, BLOCKED, MEMBERS, NOTICED, TOO_LONG, NOTHING_BUT_NOISE]


@dataclass
class Talk:
    """One run's conversation; `said` is what became of each answer, and of each connection that it ended."""

    conduct: Conduct
    now: float = 0.0

    def hears(self, *outcomes: Outcome, ask: Ask = WIDE, received: int = 0, **how: object) -> list[str]:
        said = []
        for outcome in outcomes:
            self.conduct.received(received)
            verdict = self.conduct.judge(ask, outcome, received)
            decision = self.conduct.after(outcome, ask, **how)  # type: ignore[arg-type]
            self.now += decision.pause
            said.append(f"{verdict}, {decision.move}")
            if decision.move is Move.LEAVE:
                ended = self.conduct.ended(outcome, int(verdict is Verdict.ANSWERED), self.now)
                self.now += ended.pause
                said[-1] = f"{verdict}, {ended.move}" + (f": {ended.gap}" if ended.gap else "")
                self.conduct.connected()
        return said


def talk(habits: Habits | None = None, failures: int = 0) -> Talk:
    conduct = Conduct(habits or Habits(), failures, 500)
    conduct.connected()
    return Talk(conduct)


def test_silence_is_asked_again_on_new_connections_and_leaves_the_rest_pending() -> None:
    silent = talk()
    assert silent.hears(*[SILENT] * PATIENCE) == ["failed, reconnect"] * (PATIENCE - 1) + ["failed, give up"]
    assert silent.now == 0.25 + 0.5 + 1


def test_events_without_an_eose_become_a_gap_that_says_so() -> None:
    assert talk().hears(*[SILENT] * PATIENCE, received=3)[-1] == "failed, give up: no-eose"


def test_a_relay_that_failed_for_runs_is_only_probed_until_it_answers() -> None:
    assert talk(failures=HALF_OPEN_AFTER).hears(SILENT) == ["failed, give up"]
    assert talk(failures=HALF_OPEN_AFTER).hears(EOSE, SILENT) == ["answered, go on", "failed, reconnect"]


def test_who_puts_us_off_is_asked_more_slowly_and_not_for_ever() -> None:
    busy = talk()
    said = busy.hears(*[SLOWER] * (PATIENCE + 1))
    assert said == ["failed, go on"] * PATIENCE + ["failed, give up"]
    assert busy.now == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6)


def test_an_answer_restores_the_patience_and_the_pace() -> None:
    habits = Habits()
    assert "give up" not in " ".join(talk(habits).hears(*[SLOWER, SLOWER, EOSE, EOSE] * 20))
    assert habits.pause < LONGEST_PAUSE


def test_a_refusal_climbs_the_ladder_to_its_top_and_then_is_a_gap() -> None:
    habits = Habits()
    said = talk(habits).hears(*[BLOCKED] * (len(Rung)))
    assert said[:2] == ["failed, go on"] * 2
    assert said[2] == "failed, name kinds"
    assert said[3:] == ["failed, go on"] * 2 + ["failed, give up: refused"]
    assert habits.rung is Rung.FREE, "none of them helped"


def test_who_wants_us_authenticated_wants_nothing_else() -> None:
    assert talk().hears(MEMBERS) == ["failed, give up: refused"]


def test_a_stated_limit_is_heeded_before_the_ladder() -> None:
    habits = Habits()
    assert talk(habits).hears(BLOCKED, stated=100) == ["failed, go on"]
    assert (habits.rung, habits.limit) == (Rung.FREE, 100)


def test_what_is_optional_changes_nothing() -> None:
    habits = Habits()
    conduct = Conduct(habits, 0, 500)
    assert conduct.after(BLOCKED, WIDE, optional=True).move is Move.LEAVE
    assert habits == Habits()


def test_a_relay_that_breaks_off_is_asked_for_less_and_then_for_more_again() -> None:
    habits = Habits()
    cut = talk(habits)
    assert cut.hears(DROPPED, received=60, closed=True) == ["failed, reconnect"]
    assert habits.limit == 30
    assert cut.hears(*[EOSE] * PAGES_TO_GROW)[-1] == "answered, go on"
    assert habits.limit == 60
    cut.hears(*[EOSE] * 100)
    assert habits.limit == 500


def test_a_narrow_ask_that_goes_unanswered_is_set_aside() -> None:
    assert talk().hears(BLOCKED, ask=NARROW)[0].startswith("set aside")
    assert [said.split(",")[0] for said in talk().hears(SILENT, SILENT, ask=NARROW)] == ["failed", "set aside"]


def test_a_message_that_may_be_too_long_is_made_shorter_first() -> None:
    habits = Habits()
    before = habits.message_bytes
    assert talk(habits).hears(DROPPED, ask=NARROW, closed=True) == ["failed, reconnect"]
    assert habits.message_bytes == before // 2


def test_more_than_we_take_is_looked_for() -> None:
    assert talk().hears(TOO_LONG)[0].startswith("broken")
    assert talk().hears(TOO_LONG, received=5_001)[0].startswith("flooded")
    assert talk().hears(NOTHING_BUT_NOISE)[0].startswith("failed")
    assert talk().hears(EOSE, NOTHING_BUT_NOISE)[1].startswith("buried"), (
        "where it does answer, it is in one place"
    )


def test_a_relay_whose_program_restarts_is_waited_for() -> None:
    conduct = Conduct(Habits(), 0, 500)
    conduct.refused(10.0, may_restart=True)
    gone = Outcome(Ending.DISCONNECTED, text="connection refused")
    assert conduct.is_away
    assert conduct.ended(gone, 0, 10.0).move is Move.RECONNECT
    assert conduct.ended(gone, 0, 10.0 + RESTART_SECONDS).move is Move.GIVE_UP
    conduct.connected()
    assert not conduct.is_away


def test_no_eose_of_a_deceiver_counts() -> None:
    decision = Conduct(Habits(), 0, 500).ended(EOSE, 5, 0.0, deceived=True)
    assert (decision.move, decision.gap) == (Move.GIVE_UP, Unproven.NO_EOSE)


def test_two_hours_at_a_time_are_bounded() -> None:
    conduct = Conduct(Habits(rung=Rung.SHORT_WINDOW), 0, 500)
    assert not conduct.is_spent(SHORT_WINDOW_REQUESTS - 1)
    assert conduct.is_spent(SHORT_WINDOW_REQUESTS)
    assert conduct.is_spent(SHORT_WINDOW_REQUESTS // 2, share=0.5)
    assert not Conduct(Habits(), 0, 500).is_spent(10**6)


answers = st.lists(
    st.tuples(st.sampled_from(ALL), st.sampled_from([WIDE, NARROW]), st.integers(0, 6_000), st.booleans()),
    max_size=60,
)


@given(answers, st.integers(0, 5))
def test_whatever_comes_no_wait_is_longer_than_it_says_and_fruitless_runs_end(
    heard: list[tuple[Outcome, Ask, int, bool]], failures: int
) -> None:
    conduct = Conduct(Habits(), failures, 500)
    conduct.connected()
    fruitless = 0
    for outcome, ask, received, closed in heard:
        conduct.received(received)
        before = conduct.restrained
        verdict = conduct.judge(ask, outcome, received)
        decision = conduct.after(outcome, ask, closed=closed)
        assert 0 <= decision.pause <= LONGEST_PAUSE
        if decision.move is Move.GO_ON:
            continue
        assert decision.move is Move.LEAVE
        advanced = verdict is Verdict.ANSWERED or conduct.restrained > before
        ended = conduct.ended(outcome, int(advanced), 0.0)
        asks_anew = ended.move is Move.NAME_KINDS  # which it does once, and which is worth a try
        fruitless = 0 if advanced else fruitless + (not asks_anew)
        assert 0 <= ended.pause <= LONGEST_WAIT
        assert (ended.gap is None) or ended.move is Move.GIVE_UP
        assert fruitless < PATIENCE or ended.move in (Move.GIVE_UP, Move.NAME_KINDS)
        conduct.connected()


# -- between runs --


def test_a_relay_that_fails_is_tried_after_times_that_double_up_to_a_day() -> None:
    waits = [retry_after(failures, 300, 0.5) for failures in range(1, 12)]
    assert waits[:4] == [300, 600, 1200, 2400]
    assert waits[-1] == DAY
    assert retry_after(10**6, 300, 0.5) == DAY
    assert (retry_after(1, 300, 0.0), retry_after(1, 300, 1.0)) == (225, 375)


def test_a_gap_is_tried_at_growing_intervals() -> None:
    assert [retry_gap_after(Unproven.REFUSED, tries) for tries in (1, 2, 3, 30)] == [0, 300, 900, DAY]
    assert [retry_gap_after(Unproven.SATURATED, tries) for tries in (1, 2, 30)] == [HOUR, 2 * HOUR, 30 * DAY]


def test_one_gap_a_run_is_tried_and_all_that_somebody_wants() -> None:
    def gap(second: int, tries: int, age: float | None) -> TriedGap:
        return TriedGap(Interval(second, second), Unproven.NO_EOSE, tries, age)

    gaps = [gap(1, 2, 299), gap(2, 2, 301), gap(3, 3, 5_000), gap(4, 9, None), gap(5, 9, None)]
    assert [each.interval.since for each in gaps_to_try(gaps)] == [4, 5, 3]
    assert gaps_to_try([gap(1, 2, 10)]) == []


KEPT = [
    Habits(),
    Habits(
        largest=500, cut_at=500, since_exclusive=False, until_exclusive=True, order=Order.UNTRUSTED, cut_pages=9
    ),
    Habits(hides=True, rung=Rung.KINDS_NAMED, limit=100, pause=1.5, grace=0.3, restricted=Access.WITHHELD),
]


@pytest.mark.parametrize("habits", KEPT)
def test_what_was_learned_is_restored_and_restraints_are_forgotten_after_a_day(habits: Habits) -> None:
    plain = {name: str(value) if isinstance(value, str) else value for name, value in habits.remembered().items()}
    again = Habits.restored(plain, MEMORY)
    assert again.remembered() == habits.remembered()
    later = Habits.restored(plain, MEMORY + 1)
    assert not later.is_restrained
    assert (later.order, later.hides) == (Order.NEWEST_FIRST, False)
    assert (later.largest, later.grace, later.restricted) == (habits.largest, habits.grace, habits.restricted)
