"""Weeks of the schedule, in fast motion: nothing grows that is not the archive, and nobody is left behind."""

import pytest

from tests.sync.month import growing, month, month_options


@pytest.mark.slow
async def test_hostile_relays_leave_no_honest_one_behind_and_nothing_grows(database: str) -> None:
    seen = await month(database, 5, 10, days=12, hours=24, options=month_options(5))
    assert seen.missed == [], "every honest relay is synced in every cycle"
    assert seen.lost == 0
    assert growing(seen, 8) == {}
