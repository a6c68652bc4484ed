"""The one promise, against relays that speak NIP-77: honestly or not, alone and together with other modes."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.relays.hostile import MODES, HostileRelay
from tests.relays.reconciling import NEGENTROPY
from tests.sync.oracle import Verdict, assert_the_promise, verdicts_on

pytestmark = pytest.mark.slow

BESIDE = ("cap-20", "random-order", "garbage", "oldest-first", "drops-every-3rd", "restricted-kinds")
"""Modes that each misuse of NIP-77 is tried together with."""


def relays() -> dict[str, HostileRelay]:
    found = {name: HostileRelay([mode], 3_000 + seed) for seed, (name, mode) in enumerate(NEGENTROPY.items())}
    beside = [name for name in BESIDE if name in MODES]
    for seed, (name, mode) in enumerate(NEGENTROPY.items()):
        other = beside[seed % len(beside)]
        found[f"{name}+{other}"] = HostileRelay([MODES[other], mode], 4_000 + seed)
    return found


RELAYS = relays()


@pytest.fixture(scope="module")
def verdict(embedded_server: str) -> Callable[[str], Verdict]:
    @cache
    def of_all() -> dict[str, Verdict]:
        return verdicts_on(embedded_server, RELAYS)

    return lambda name: of_all()[name]


@pytest.mark.parametrize("name", RELAYS)
def test_the_promise_holds_against_a_relay_that_is_reconciled_with(
    verdict: Callable[[str], Verdict], name: str
) -> None:
    assert RELAYS[name].comparisons >= 0
    assert_the_promise(verdict(name))
