"""No bytes of a relay let anything out of `nostr/` but what is documented; `tests/nostr/fuzz.py` says how."""

import pytest

from tests.nostr.fuzz import DOORS, fuzz

pytestmark = pytest.mark.slow

INPUTS = 20_000
MAX_GROWTH = 30 * 2**20
"""Bytes; a million inputs take no more than that either."""


async def test_nothing_escapes_and_nothing_is_kept() -> None:
    report = await fuzz(range(INPUTS))
    assert report.escaped == []
    assert {door for door, _ in report.ends} == {*DOORS, "conversations"}
    assert report.ends["events", "genuine"] > 100
    assert report.ends["conversations", "eose"] > 0
    assert any(end.startswith("talk") for _, end in report.ends)
    assert report.resident[-1] - report.resident[0] < MAX_GROWTH
