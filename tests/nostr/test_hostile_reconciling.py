"""Relays that misuse NIP-77, alone and with what else they do: each talk ends, soon and in little memory."""

import tracemalloc
from random import Random

import pytest

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.connection import Connection, Reconciled, ReconcileEnding, connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.windowing.outcome import Ending
from tests.machine import crowding, within
from tests.negentropy.relay_side import Item
from tests.nostr.helpers import KEY
from tests.relays.hostile import DAY, FOREIGN, MODES, NOW, HostileRelay, Mode, hostile
from tests.relays.reconciling import NEGENTROPY

PATIENCE = 2.0
"""Seconds of silence that end a talk, on an idle machine."""

BOUND = 20.0
"""Seconds for a talk: ten times `PATIENCE` in all, and a busy machine."""

MAX_MEMORY = 40 * 2**20
"""Bytes, the relay's own among them."""

WINDOW = Filter(since=NOW - 300 * DAY, until=NOW)
OF_OURS = [(NOW - number * DAY, bytes([number] * 32)) for number in range(1, 4)]
FINISHED, TOO_MANY, UNSUPPORTED = ReconcileEnding.FINISHED, ReconcileEnding.TOO_MANY, ReconcileEnding.UNSUPPORTED
LIED = ReconcileEnding.LIED

ENDS = {
    **dict.fromkeys(NEGENTROPY, FINISHED),
    **dict.fromkeys(("endless-rounds", "answer-too-long", "wrong-version", "unordered-bounds"), LIED),
    **dict.fromkeys(("silent-negentropy", "silent-in-the-midst", "negentropy-disabled"), UNSUPPORTED),
    **dict.fromkeys(("huge-id-lists", "too-many-results"), TOO_MANY),
    "floods-events": LIED,
}


def relay_of(*modes: Mode, seed: int = 77) -> HostileRelay:
    relay = HostileRelay(modes, seed)
    relay.begin_round()
    return relay


def shown(relay: HostileRelay, selection: Filter = WINDOW) -> list[Item]:
    return [(held.created_at, bytes.fromhex(held.id)) for held in relay.shown(selection)]


def half_of(relay: HostileRelay) -> Reconciliation:
    """We hold every other event of the relay's, and three that it does not."""
    return Reconciliation([*shown(relay)[::2], *OF_OURS])


async def talk(connection: Connection, ours: Reconciliation, selection: Filter = WINDOW) -> Reconciled:
    with within(BOUND):
        result = await connection.reconcile(selection, ours)
    assert result.text.isprintable()
    assert bool(result.text) == (result.ending is not FINISHED)
    assert ours.finished or result.ending is not FINISHED
    return result


async def had(
    relay: HostileRelay, ours: Reconciliation, selection: Filter = WINDOW, key: bytes | None = None
) -> Reconciled:
    """The talk; a REQ is answered after it."""
    async with (
        hostile(relay),
        connect(
            parse_relay_url(relay.url), timeout=PATIENCE * crowding(), allow_private=True, private_key=key
        ) as connection,
    ):
        result = await talk(connection, ours, selection)
        page = await connection.request(Filter(limit=5), max_events=100, max_bytes=10**6)
        if NEGENTROPY["floods-events"] not in relay.modes:  # it may be at that still
            assert (page.outcome.ending, len(page.events)) == (Ending.EOSE, 5)
    assert relay.comparisons >= 1
    return result


@pytest.mark.parametrize("name", NEGENTROPY)
async def test_each_talk_ends_in_little_memory(name: str) -> None:
    relay = relay_of(NEGENTROPY[name])
    ours = half_of(relay)
    tracemalloc.start()
    try:
        result = await had(relay, ours)
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
    assert result.ending in ({FINISHED, LIED} if name == "changing-set" else {ENDS[name]})


@pytest.mark.parametrize("name", ["negentropy", "says-more-after-close", "duplicate-ids"])
async def test_what_both_sides_lack_is_found(name: str) -> None:
    relay = relay_of(NEGENTROPY[name])
    ours = half_of(relay)
    assert (await had(relay, ours)).ending is FINISHED
    assert ours.need.keys() == {id for _, id in shown(relay)[1::2]}
    assert ours.have.keys() == {id for _, id in OF_OURS}


async def test_what_lies_about_equality_proves_it() -> None:
    """Only a REQ can tell: a fingerprint of ours is all that it takes."""
    relay = relay_of(NEGENTROPY["lying-fingerprints"])
    ours = half_of(relay)
    assert (await had(relay, ours)).ending is FINISHED
    assert not ours.need
    assert not ours.have


async def test_what_is_hidden_is_taken_for_gone() -> None:
    relay = relay_of(NEGENTROPY["hides-ids"])
    ours = half_of(relay)
    await had(relay, ours)
    hidden = {id for _, id in shown(relay) if id[0] % 7 == 0}
    assert ours.need.keys() == {id for _, id in shown(relay)[1::2]} - hidden
    assert ours.have.keys() == {id for _, id in OF_OURS} | {id for _, id in shown(relay)[::2] if id in hidden}


@pytest.mark.parametrize(("name", "more"), [("claims-ids", 25), ("foreign-ids", 20)])
async def test_what_is_claimed_is_needed(name: str, more: int) -> None:
    relay = relay_of(NEGENTROPY[name])
    ours = half_of(relay)
    await had(relay, ours)
    needed = {id for _, id in shown(relay)[1::2]}
    assert ours.need.keys() > needed
    assert len(ours.need.keys() - needed) >= more
    assert name == "claims-ids" or ours.need.keys() - needed == {bytes.fromhex(event.id) for event in FOREIGN}


async def test_who_answers_a_challenge_in_between_is_told_all() -> None:
    for key in (KEY, None):
        relay = relay_of(NEGENTROPY["auth-in-between"])
        ours = half_of(relay)
        assert (await had(relay, ours, key=key)).ending is FINISHED
        needed = {id for _, id in shown(relay)[1::2]}
        assert ours.need.keys() == needed if key else ours.need.keys() < needed
        assert relay.comparisons == (2 if key else 1)


async def test_a_smaller_window_is_not_too_large() -> None:
    relay = relay_of(NEGENTROPY["too-many-results"])
    second = relay.events[-1].created_at
    narrow = Filter(since=second, until=second)
    assert (await had(relay, Reconciliation([]))).text == "blocked: too many query results"
    ours = Reconciliation([])
    assert (await had(relay, ours, narrow)).ending is FINISHED
    assert ours.need.keys() == {id for _, id in shown(relay, narrow)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODES)
async def test_with_what_else_a_relay_does(name: str) -> None:
    """An honest talk, and one that is not, with every other mode."""
    drawn = Random(name).choice([each for each in NEGENTROPY if each != "negentropy"])
    for other in ("negentropy", drawn):
        relay = relay_of(MODES[name], NEGENTROPY[other])
        ours = half_of(relay)
        async with (
            hostile(relay),
            connect(
                parse_relay_url(relay.url), timeout=PATIENCE * crowding(), allow_private=True, private_key=KEY
            ) as connection,
        ):
            result = await talk(connection, ours)
            if other == "negentropy" and result.ending is FINISHED:
                assert ours.need.keys() == {id for _, id in shown(relay)[1::2]}
            if not connection.closed:
                await connection.request(Filter(limit=5), max_events=200, max_bytes=10**7)


async def test_a_relay_without_it_says_so() -> None:
    relay = relay_of(MODES["cap-100"])
    result = await had(relay, half_of(relay))
    assert (result.ending, result.text) == (UNSUPPORTED, "ERROR: bad msg: unknown cmd")
