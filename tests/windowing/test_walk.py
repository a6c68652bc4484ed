"""What a walk promises, whatever the relay answers."""

from collections import Counter
from dataclasses import replace
from itertools import cycle
from math import log2
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.windowing.cuts import CREDIBLE_CAP, Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.kinds import Access
from bigbrotr_dagster.windowing.tasks import Answer
from bigbrotr_dagster.windowing.walk import Walk
from tests.windowing.model import EOSE, Outcomes, Relay, Stamp, run, run_filtered, run_together, step

END = 120
RANGE = Coverage.between(1, END)  # a since-exclusive relay cannot be asked for second 0


def stamps(*kinds: int, since: int = 0, least: int = 0) -> st.SearchStrategy[list[Stamp]]:
    """At least so many events around `RANGE`, many of them in one second."""
    stamp = st.builds(
        Stamp,
        id=st.uuids().map(str),
        created_at=st.one_of(st.integers(since, END + 3), st.just(60)),
        kind=st.sampled_from(kinds),
        pubkey=st.sampled_from("abcdefgh"),
    )
    return st.lists(stamp, min_size=least, max_size=60, unique_by=lambda stamp: stamp.id)


caps = st.integers(1, 30)


def relays(**habits: st.SearchStrategy[Any]) -> st.SearchStrategy[Relay]:
    """Relays that cut their answers at one cap and take any tie order."""
    given = {"events": stamps(0, 1, 7, 777), "cap": caps, "seed": st.integers(0, 99), "stable": st.booleans()}
    return st.builds(Relay, **(given | habits))


def damaged(count: int) -> st.SearchStrategy[list[Stamp]]:
    """Up to so many things that are no events, in few seconds."""
    thing = st.builds(
        Stamp,
        id=st.uuids().map(str),
        created_at=st.one_of(st.integers(100, END), st.integers(1, END), st.just(60)),
        damage=st.sampled_from(["claims", "silent", "lies"]),
    )
    return st.lists(thing, max_size=count, unique_by=lambda stamp: stamp.id)


def assert_the_promise(relay: Relay, walk: Walk, fails=None, **together: int) -> None:
    left = run_together(walk, relay, fails, **together) if together else run(walk, relay, fails)
    settled = Coverage(left.covered) | Coverage(left.gaps)
    assert settled == RANGE, "every second is settled"
    assert walk.pending == Coverage()
    assert sum(part.seconds for part in (*left.covered, *left.gaps)) == RANGE.seconds, "and only once"
    covered = Coverage(left.covered)
    given = [event for event in relay.events if event.kind not in relay.hides and not event.damage]
    lost = [event for event in given if event.created_at in covered and event.id not in left.delivered]
    assert not lost, "an interval is covered only if every event in it was delivered"


@pytest.mark.slow
@given(relays(until_exclusive=st.booleans(), since_exclusive=st.booleans(), ignores_since=st.booleans()))
def test_a_newest_first_relay_is_covered_where_its_events_were_delivered(relay: Relay) -> None:
    if relay.cap < 2 or len(relay.events) < 2:
        return
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap)))


@pytest.mark.slow
@given(relays(), st.lists(st.booleans(), min_size=1, max_size=12).filter(lambda fails: not all(fails)))
def test_a_failed_request_proves_nothing_and_loses_nothing(relay: Relay, fails: list[bool]) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap)), cycle(fails))


@pytest.mark.slow
@given(
    relays(oldest_first=st.booleans(), until_exclusive=st.booleans()),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_a_walk_that_is_stopped_goes_on_with_what_was_learned(relay: Relay, stops: list[int]) -> None:
    habits = Habits(largest=relay.cap, cut_at=relay.cap)
    left, pending = Outcomes({}, [], []), RANGE
    for most in stops:
        walk = Walk(pending, 40, habits)
        for _ in range(most):
            if not walk.is_done:
                step(walk, relay, left)
        pending, habits = walk.pending, Habits.restored(habits.remembered(), 0)
    rest = run(Walk(pending, 40, habits), relay)
    covered = Coverage([*left.covered, *rest.covered])
    delivered = left.delivered | rest.delivered
    lost = [event for event in relay.events if event.created_at in covered and not event.damage]
    assert {event.id for event in lost} <= set(delivered)


@pytest.mark.slow
@given(relays(ignores_until=st.just(True)))
def test_a_relay_that_ignores_until_leaves_gaps_not_holes(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap)))


@given(relays(finishes=st.just(True)))
def test_finish_is_proof_without_another_request(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap)))


@given(relays(oldest_first=st.just(True)))
def test_an_oldest_first_relay_is_split_until_halves_and_whole_agree(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(relay.cap, relay.cap, order=Order.UNTRUSTED)))


@pytest.mark.slow
@given(relays(oldest_first=st.just(True)))
def test_an_oldest_first_relay_is_found_out(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap)))


@pytest.mark.parametrize("cap", [20, 100, 500])
def test_so_it_is_where_rubbish_lies_behind_what_it_sends_first(cap: int) -> None:
    old = [Stamp(f"{n}", 10 + n) for n in range(cap)]
    bad = [Stamp(f"bad {n}", 20 + cap + n, damage="claims") for n in range(cap)]
    new = [Stamp(f"new {n}", 40 + 2 * cap + n) for n in range(3)]
    relay = Relay([*old, *bad, *new], cap, oldest_first=True)
    left = run(Walk(Coverage.between(2, 5_000), 500, Habits()), relay)
    lost = [event for event in new if event.id not in left.delivered]
    assert all(event.created_at in Coverage(left.gaps) for event in lost)


@pytest.mark.parametrize("cap", [1, 2, 5, 20])
def test_an_oldest_first_relay_is_found_out_at_first_sight(cap: int) -> None:
    relay = Relay([Stamp(f"{number}", 2 * number) for number in range(1, 50)], cap, oldest_first=True)
    assert_the_promise(relay, Walk(RANGE, 20, Habits()))


@pytest.mark.slow
@given(relays(until_in_part=st.just(True), nothing_from_zero=st.booleans()))
def test_a_relay_that_sends_a_part_of_the_last_second_is_not_taken_at_its_word(relay: Relay) -> None:
    crowd = max(Counter(event.created_at for event in relay.events).values(), default=0)
    if relay.cap < 2 or relay.cap < min(crowd, CREDIBLE_CAP):  # such caps are not believed without evidence
        return
    assert_the_promise(relay, Walk(Coverage.between(1, END), 20, Habits()))


@pytest.mark.slow
@given(relays(random_subset=st.just(True)))
def test_a_relay_that_sends_any_part_of_a_window_is_split(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(relay.cap, relay.cap, order=Order.UNTRUSTED)))


@pytest.mark.slow
@given(relays(least_cap=st.integers(1, 30)))
def test_a_cap_that_changes_is_no_proof_of_an_end(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=min(relay.least_cap, relay.cap))))


@pytest.mark.slow
@given(
    relays(
        events=st.tuples(stamps(0, 1, 7), stamps(1059, since=60, least=20)).map(lambda both: [*both[0], *both[1]]),
        hides=st.just(frozenset({1059})),
        cap=st.just(CREDIBLE_CAP),
    )
)
def test_what_lies_below_hidden_events_is_found(relay: Relay) -> None:
    assert_the_promise(relay, Walk(RANGE, 40, Habits(hides=True)))


@pytest.mark.slow
@given(
    relays(
        events=st.tuples(stamps(0, 1, 7), stamps(4, 1059, least=20)).map(lambda both: [*both[0], *both[1]]),
        hides=st.just(frozenset({4, 1059})),
        cap=st.integers(CREDIBLE_CAP, 30),
        least_cap=st.sampled_from([None, None, CREDIBLE_CAP]),
    ),
    st.sampled_from([Habits(hides=True), Habits(restricted=Access.WITHHELD), Habits(restricted=Access.GIVEN)]),
    st.booleans(),
)
def test_so_is_what_lies_among_them(relay: Relay, habits: Habits, any_part: bool) -> None:
    relay.random_subset = any_part
    order = Order.UNTRUSTED if any_part else Order.NEWEST_FIRST
    assert_the_promise(relay, Walk(RANGE, 40, replace(habits, order=order)))


@pytest.mark.slow
@given(
    relays(
        events=st.tuples(stamps(0, 1, 7), stamps(1059, least=5)).map(lambda both: [*both[0], *both[1]]),
        hides=st.just(frozenset({1059})),
    ),
    st.booleans(),
)
def test_so_it_is_whatever_the_cap_is(relay: Relay, any_part: bool) -> None:
    relay.random_subset = any_part
    order = Order.UNTRUSTED if any_part else Order.NEWEST_FIRST
    assert_the_promise(relay, Walk(RANGE, 40, Habits(hides=True, order=order)))


@given(relays(), st.integers(1, 20))
def test_a_limit_that_grows_on_the_way_proves_nothing_of_the_relay(relay: Relay, hint: int) -> None:
    habits = Habits(stated_limit=hint)
    if relay.cap < CREDIBLE_CAP:
        habits.cut_at = relay.cap
    assert_the_promise(relay, Walk(RANGE, 20, habits))


@pytest.mark.slow
@given(stamps(0, 1, 7), damaged(120), st.integers(2, 30), st.booleans(), st.integers(0, 99))
def test_what_comes_in_place_of_events_hides_none(
    events: list[Stamp], damage: list[Stamp], cap: int, known: bool, seed: int
) -> None:
    cap = cap if known else max(cap, CREDIBLE_CAP)
    relay = Relay([*events, *damage], cap, seed)
    assert_the_promise(relay, Walk(RANGE, 40, Habits(largest=cap, cut_at=cap) if known else Habits()))


@given(stamps(0, 1, 7), damaged(120), st.integers(2, 30), st.integers(0, 99))
def test_nor_where_windows_are_split(events: list[Stamp], damage: list[Stamp], cap: int, seed: int) -> None:
    relay = Relay([*events, *damage], cap, seed, random_subset=True)
    assert_the_promise(relay, Walk(RANGE, 20, Habits(cap, cap, order=Order.UNTRUSTED)))


@pytest.mark.slow
@given(stamps(0, 1, 7), damaged(60), st.integers(1, 30), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_nor_does_what_comes_on_top_of_them(
    events: list[Stamp], damage: list[Stamp], cap: int, strewn: int, known: bool, seed: int
) -> None:
    cap = cap if known else max(cap, CREDIBLE_CAP)
    relay = Relay([*events, *damage], cap, seed, strewn=strewn)
    assert_the_promise(relay, Walk(RANGE, 40, Habits(largest=cap, cut_at=cap) if known else Habits()))


@given(
    stamps(0, 1, 7),
    damaged(120),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(Order),
    st.integers(0, 99),
)
def test_nor_where_the_cap_varies(
    events: list[Stamp], damage: list[Stamp], cap: int, least: int, order: Order, seed: int
) -> None:
    relay = Relay([*events, *damage], cap, seed, least_cap=least)
    assert_the_promise(relay, Walk(RANGE, 40, Habits(largest=cap, cut_at=min(least, cap), order=order)))


def many(seed: int, damage: str) -> tuple[list[Stamp], list[Stamp]]:
    """Hundreds of events in a million seconds, and as many things that are none: new, in one place, and strewn."""
    draw = Random(seed)
    seconds = [10**6 - 1_000 + n for n in range(250)] + [400_000 + n for n in range(150)]
    seconds += [draw.randrange(2, 10**6) for _ in range(40)]
    if seed % 3 == 0:
        seconds = draw.sample(seconds, draw.randrange(1, len(seconds)))
    kinds = ["claims", "silent", "lies"] if damage == "mixed" else [damage]
    bad = [Stamp(f"bad {n}", second, damage=draw.choice(kinds)) for n, second in enumerate(seconds)]
    places = [(2, 10**6), (950_000, 10**6), (900_000, 900_300), (400_000, 400_150)]
    good = [
        Stamp(f"{n}", draw.randrange(*draw.choice(places)), draw.choice([0, 1, 7, 777]), draw.choice("abcdefgh"))
        for n in range(470)
    ]
    return good, bad


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["claims", "silent", "lies", "mixed"])
@pytest.mark.parametrize("caps", [(10, 100), (12, 30), (20, 500), (100, 100), (30, 30)])
def test_a_cap_that_is_drawn_shows_though_rubbish_takes_up_the_room(damage: str, caps: tuple[int, int]) -> None:
    """The next run begins with what this one has learned.

    Of fixed relays: of thousands, one may draw its caps so that a whole and its halves are cut alike.
    """
    for seed, width in enumerate([1, 4] * 4):
        good, bad = many(seed, damage)
        relay = Relay([*good, *bad], caps[1], seed, least_cap=caps[0])
        habits = Habits()
        for window in (Coverage.between(2, 10**6), Coverage.between(300_000, 10**6)):
            left = run_together(Walk(window, 500, habits), relay, None, longest=10**5, width=width)
            assert {event.id for event in good if event.created_at in window} <= set(left.delivered), seed
            assert Coverage(left.covered) == window
            habits = Habits.restored(habits.remembered(), 0)


def test_an_answer_that_lacks_what_came_twice_was_cut() -> None:
    """Rubbish alone fills the answers to one ask; what the second one lacks came with the first and the third."""
    habits = Habits()
    walk = Walk(Coverage.between(2, 10**6), 500, habits)
    for size in (40, 15, 60):
        ask = walk.next()
        assert ask is not None
        assert habits.cut_at is None
        walk.answered(ask, Answer([], EOSE, refused=size, refused_ids=frozenset(range(size))))
    assert habits.cut_at == 15


@given(st.sets(st.integers(0, 10**9), min_size=1, max_size=60), st.integers(1, 6))
def test_what_never_comes_again_shows_no_cut(sizes: set[int], answers: int) -> None:
    """Rubbish that is new in each answer, as many of it as there be, was strewn in, and took no room."""
    habits = Habits()
    walk, numbers = Walk(Coverage.between(2, 10**6), 500, habits), iter(range(10**9))
    for _, size in zip(range(answers), sorted(sizes), strict=False):
        ask = walk.next()
        assert ask is not None
        ids = frozenset(next(numbers) for _ in range(size % 400 + 1))
        walk.answered(ask, Answer([], EOSE, refused=len(ids), refused_ids=ids))
    assert habits.cut_at is None


@pytest.mark.parametrize("cap", [1, 20, 500])
def test_what_comes_on_top_of_events_makes_no_gap(cap: int) -> None:
    relay = Relay([Stamp(f"{n}", 1_000 * n) for n in range(1, 300)], cap, strewn=2)
    left = run(Walk(Coverage.between(2, 10**6), 500, Habits()), relay)
    assert {event.id for event in relay.events} == set(left.delivered)
    crowds = Coverage(Interval(event.created_at, event.created_at) for event in relay.events)
    assert not Coverage(left.gaps) - (crowds if cap == 1 else Coverage())
    assert len(relay.asks) <= (40 * len(relay.events) if cap == 1 else 120)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["claims", "silent", "lies"])
@pytest.mark.parametrize("cap", [100, 500])
@pytest.mark.parametrize("newest", [10**6, 500_000])
def test_the_good_ones_behind_many_bad_ones_are_found(damage: str, cap: int, newest: int) -> None:
    bad = [Stamp(f"bad {n}", newest - n, damage=damage) for n in range(600)]
    good = [Stamp(f"{n}", 3 * n + 10) for n in range(300)] + [Stamp(f"new {n}", 10**6 - n) for n in range(3)]
    relay = Relay([*bad, *good], cap)
    left = run(Walk(Coverage.between(2, 10**6), 500, Habits()), relay)
    assert {event.id for event in good} == set(left.delivered)
    assert left.gaps == []
    assert len(relay.asks) <= 250


@pytest.mark.parametrize("claims", [[], [5], [10**9 + 5]])
@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize("same", [True, False])
def test_a_relay_that_answers_everything_with_rubbish_is_given_up(
    claims: list[int], size: int, same: bool
) -> None:
    walk, numbers = Walk(Coverage.between(2, 10**9), 500, Habits()), iter(range(10**9))
    gaps, covered = Coverage(), Coverage()
    for asked in range(4_000):  # noqa: B007 (it is the number of requests)
        ask = walk.next()
        if ask is None:
            break
        ids = frozenset(range(size) if same else (next(numbers) for _ in range(size)))
        proof = walk.answered(ask, Answer([], EOSE, refused=size, refused_at=claims * size, refused_ids=ids))
        gaps |= Coverage(gap.interval for gap in proof.gaps)
        covered |= Coverage(proof.covered)
    assert walk.is_done
    assert covered == Coverage()
    assert gaps == Coverage.between(2, 10**9)
    assert asked <= (200 if same and size > 2 else 2_000)


@pytest.mark.slow
@given(stamps(0, 1, 7, 777), stamps(3, least=20), st.integers(CREDIBLE_CAP, 60), st.integers(0, 99))
def test_a_relay_that_ignores_kinds_proves_nothing_by_other_kinds(
    events: list[Stamp], others: list[Stamp], cap: int, seed: int
) -> None:
    relay = Relay(events + [Stamp(f"o{n}", event.created_at, 3) for n, event in enumerate(others)], cap, seed)
    relay.ignores_kinds = True
    walk = Walk(RANGE, 40, Habits())
    left = run_filtered(walk, relay, (0, 1, 7, 777))
    lost = [one for one in events if one.created_at in Coverage(left.covered) and one.id not in left.delivered]
    assert not lost
    assert Coverage(left.covered) | Coverage(left.gaps) == RANGE


@given(stamps(0, 1, 7), st.integers(CREDIBLE_CAP, 60), st.integers(2, 6), st.booleans(), st.integers(0, 99))
def test_copies_hide_nothing(events: list[Stamp], cap: int, copies: int, any_part: bool, seed: int) -> None:
    relay = Relay(events, cap, seed, random_subset=any_part, copies=copies)
    order = Order.UNTRUSTED if any_part else Order.NEWEST_FIRST
    assert_the_promise(relay, Walk(RANGE, 60, Habits(order=order)))


@pytest.mark.slow
@given(stamps(0, 1, 7, 777, least=40), st.integers(CREDIBLE_CAP, 30), st.booleans())
def test_what_a_relay_will_not_answer_narrowly_is_set_aside(events: list[Stamp], cap: int, hides: bool) -> None:
    relay = Relay(events, cap)
    walk, covered, delivered = Walk(RANGE, 40, Habits(hides=hides)), Coverage(), set()
    gaps: list[Interval] = []
    while (ask := walk.next()) is not None:
        assert len(relay.asks) < 400
        answer = relay.answer(ask)
        if ask.is_narrow:
            proof = walk.refused(ask, "bad req")
            assert proof is not None
        else:
            delivered |= {event.id for event in answer.events}
            proof = walk.answered(ask, answer)
        covered |= Coverage(proof.covered)
        gaps += [gap.interval for gap in proof.gaps]
    assert covered | Coverage(gaps) == RANGE
    assert not [event for event in events if event.created_at in covered and event.id not in delivered]
    if not hides:
        assert all(part.seconds == 1 for part in gaps), "only crowded seconds"


@pytest.mark.slow
def test_authors_known_otherwise_and_a_larger_limit_close_a_crowded_second() -> None:
    burst = [Stamp(f"b{n}", 500, kind=n % 3, pubkey=f"p{n % 900}") for n in range(3_000)]
    others = [Stamp(f"{n}", n) for n in range(400)]
    for authors, stated in ((900, None), (0, 5_000)):
        relay = Relay([*burst, *others], 500)
        walk = Walk(Coverage.between(2, 10**6), 500, Habits())
        left, told = Outcomes({}, [], []), False
        while not walk.is_done:
            if walk.crowded is not None:
                walk.supply([f"p{n}" for n in range(authors)], stated)
                relay.cap, told = stated or 500, True
            step(walk, relay, left)
            relay.cap = 500 if relay.asks[-1].limit <= 500 else relay.cap
        assert told
        assert {event.id for event in burst} <= set(left.delivered)
        assert left.gaps == ([] if stated else [Interval(500, 500)])
        assert max(len(ask.authors or ()) for ask in relay.asks) <= 60, "a REQ has few bytes"
        assert max(len(ask.kinds or ()) for ask in relay.asks) <= 20, "and few kinds"


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_walk_ends_whatever_it_is_told(data: st.DataObject) -> None:
    walk = Walk(Coverage.between(0, 15), 5, Habits())
    settled = Counter[int]()
    ids = iter(range(10**9))
    for _ in range(4_000):
        ask = walk.next()
        if ask is None:
            break
        times = data.draw(st.lists(st.integers(-2, 18), max_size=5))
        fresh = [Stamp(f"{next(ids)}", max(0, time), kind=1) for time in times]
        inside = [stamp for stamp in fresh if ask.since <= stamp.created_at <= ask.until]
        strays = [stamp for stamp in fresh if stamp not in inside]
        claimed = data.draw(st.lists(st.integers(-2, 18), max_size=5))
        refused = len(claimed) + data.draw(st.integers(0, 2))
        proof = walk.answered(ask, Answer(inside, EOSE, strays, refused, refused_at=claimed))
        for part in (*proof.covered, *(gap.interval for gap in proof.gaps)):
            settled.update(range(part.since, part.until + 1))
    else:
        raise AssertionError("the walk has not ended")
    assert settled == Counter(range(16)), "every second is settled, and once"


@pytest.mark.slow
@pytest.mark.parametrize("cap", [5, 20, 100, 500])
def test_an_honest_relay_is_asked_once_a_full_page_and_for_each_event_once(cap: int) -> None:
    events = [Stamp(f"{number}", number * 3) for number in range(10_000)]
    relay = Relay(events, cap)
    left = run(Walk(Coverage.between(0, 10**6), 500, Habits()), relay)
    pages = len(events) / cap
    assert set(left.delivered) == {event.id for event in events}
    assert Coverage(left.covered) == Coverage.between(0, 10**6)
    checks = log2(pages) + 2
    assert len(relay.asks) <= pages * cap / (cap - 1) + checks + 4, "a page repeats its one boundary event"
    assert relay.sent <= len(events) + len(relay.asks) + cap / 4 + checks * (cap / 16 + 1)


def test_an_idle_relay_costs_one_request() -> None:
    relay = Relay([Stamp("old", 10)], 500)
    left = run(Walk(Coverage.between(100, 200), 500, Habits(largest=500)), relay)
    assert left.covered == [Interval(100, 200)]
    assert len(relay.asks) == 1


def test_a_second_beyond_the_cap_is_narrowed_by_kind_and_author_and_named_a_gap() -> None:
    burst = [Stamp(f"b{n}", 500, kind=n % 15, pubkey=f"p{n * 7 % 1000}") for n in range(3_000)]
    others = [Stamp(f"{n}", n) for n in range(1_000)]
    relay = Relay([*burst, *others], 500)
    left = run(Walk(Coverage.between(0, 10**6), 500, Habits()), relay)
    assert left.gaps == [Interval(500, 500)]
    assert sum(event.id in left.delivered for event in burst) >= 0.95 * len(burst)
    assert all(event.id in left.delivered for event in others)
    assert len(relay.asks) <= 60


@pytest.mark.parametrize(("kinds", "authors"), [(1, 600), (1, 1), (600, 600), (3, 600), (600, 1)])
def test_of_a_second_beyond_the_cap_nothing_is_hidden_by_a_stable_order(kinds: int, authors: int) -> None:
    burst = [Stamp(f"{n:03}", 500, kind=n % kinds, pubkey=f"p{n % authors}") for n in range(600)]
    relay = Relay([*burst, Stamp("old", 9)], 500, stable=True)
    left = run(Walk(Coverage.between(2, 10**6), 500, Habits()), relay)
    assert "old" in left.delivered
    assert left.gaps == [Interval(500, 500)]


def test_a_relay_whose_few_events_share_a_second_has_no_gap() -> None:
    relay = Relay([Stamp("a", 50), Stamp("b", 50, kind=7)], 500)
    left = run(Walk(Coverage.between(2, END), 500, Habits()), relay)
    assert Coverage(left.covered) == Coverage.between(2, END)
    assert len(relay.asks) <= 6  # two of them to see that two events are not all that it ever sends


def test_whole_answers_that_hold_no_event_are_stepped_past_by_the_seconds_they_claim() -> None:
    forged = frozenset(f"{n}" for n in range(40, 80))
    relay = Relay([Stamp(f"{n}", n + 2) for n in range(100)], 10, forged=forged)
    left = run(Walk(RANGE, 20, Habits(largest=10, cut_at=10)), relay)
    assert left.gaps == []
    assert {event.id for event in relay.events} - set(left.delivered) == forged


def test_a_second_full_of_what_is_no_event_is_a_gap_of_that_second() -> None:
    events = [Stamp(f"{n}", 50 if 40 <= n < 80 else n) for n in range(1, 100)]
    relay = Relay(events, 10, forged=frozenset(f"{n}" for n in range(40, 80)))
    left = run(Walk(RANGE, 20, Habits(largest=10, cut_at=10)), relay)
    assert left.gaps == [Interval(50, 50)]
    assert len(left.delivered) == 59


def test_one_answer_does_not_tell_that_until_is_ignored() -> None:
    walk = Walk(RANGE, 20, Habits(largest=1, cut_at=1, order=Order.UNTRUSTED))
    whole = walk.next()
    assert whole is not None
    assert walk.answered(whole, Answer([], EOSE, [Stamp("by chance", END + 50)])).gaps == ()
    run(walk, Relay([], 1))
    assert walk.pending == Coverage()


def test_events_that_arrive_beside_a_check_do_not_cost_a_relay_its_trust() -> None:
    relay = Relay([Stamp(f"{n}", n) for n in range(2, 60)], 20)
    habits = Habits()
    walk = Walk(RANGE, 20, habits)
    for _ in range(2):  # the first page, and the question about its newest part
        ask = walk.next()
        assert ask is not None
        walk.answered(ask, relay.answer(ask))
        relay.events.append(Stamp(f"new {len(relay.asks)}", 59))
    run(walk, relay)
    assert habits.order is Order.NEWEST_FIRST
    assert walk.pending == Coverage()


def test_several_asks_can_be_under_way_at_once() -> None:
    relay = Relay([Stamp(f"{n}", n) for n in range(100)], 10)
    walk = Walk(Coverage([Interval(2, 40), Interval(60, 99)]), 10, Habits())
    first, second = walk.next(), walk.next()
    assert walk.next() is None
    walk.answered(second, relay.answer(second))
    walk.answered(first, relay.answer(first))
    run(walk, relay)
    assert walk.pending == Coverage()


@given(
    relays(until_exclusive=st.booleans(), since_exclusive=st.booleans(), oldest_first=st.booleans()),
    st.integers(1, 40),
    st.integers(2, 6),
    st.lists(st.booleans(), min_size=1, max_size=12).filter(lambda fails: not all(fails)),
)
def test_windows_side_by_side_lose_nothing(relay: Relay, longest: int, width: int, fails: list[bool]) -> None:
    walk = Walk(RANGE, 20, Habits(largest=relay.cap, cut_at=relay.cap))
    assert_the_promise(relay, walk, cycle(fails), longest=longest, width=width)
