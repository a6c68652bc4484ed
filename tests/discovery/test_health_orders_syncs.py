"""The order of syncs: those that are dead come last and rarely, and are never forgotten."""

import time

import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.turns import due_relays
from tests.sync.helpers import config, tell

DAY = 86_400
URLS = [f"wss://{name}.example.com" for name in "abc"]


@pytest.fixture
def waiting(database: str) -> str:
    """An archive whose relays were tried 5 hours, 1 hour and 3 hours ago."""
    register_relays(database, URLS)
    for url, hours in zip(URLS, (5, 1, 3), strict=True):
        values = f"('{url}', now() - interval '{hours} hours')"
        tell(database, f"INSERT INTO relay_limits (relay_url, attempted_at) VALUES {values}")
    return database


def dead(database: str, url: str, days: float, *, checked: float = 0) -> None:
    now = int(time.time())
    values = f"('{url}', {now - int(checked * DAY)}, false, {now - int(days * DAY)})"
    tell(database, f"INSERT INTO relay_health (relay_url, checked_at, alive, dead_since) VALUES {values}")


def due(database: str) -> list[str]:
    return due_relays(database, config()).get("clearnet", [])


def test_without_a_word_on_health_who_waited_longest_comes_first(waiting: str) -> None:
    assert due(waiting) == [URLS[0], URLS[2], URLS[1]]


def test_dead_relays_come_last_and_not_before_four_hours(waiting: str) -> None:
    dead(waiting, URLS[0], 3)
    dead(waiting, URLS[1], 3)
    assert due(waiting) == [URLS[2], URLS[0]]


@pytest.mark.parametrize(("days", "checked"), [(0.5, 0), (9, 3)], ids=["since today", "by an old check"])
def test_who_may_be_alive_is_synced_as_ever(waiting: str, days: float, checked: float) -> None:
    dead(waiting, URLS[1], days, checked=checked)
    assert due(waiting) == [URLS[0], URLS[2], URLS[1]]


def test_a_sync_knows_better_than_a_check(waiting: str) -> None:
    dead(waiting, URLS[1], 3)
    tell(waiting, f"UPDATE relay_limits SET succeeded_at = attempted_at WHERE relay_url = '{URLS[1]}'")
    assert due(waiting) == [URLS[0], URLS[2], URLS[1]]
