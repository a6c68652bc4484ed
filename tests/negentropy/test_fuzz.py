"""No bytes of a relay let anything out but a named error; `fuzz.py` says how."""

import psutil
import pytest

from bigbrotr_dagster.negentropy import MalformedMessage, NegentropyError
from tests.negentropy.fuzz import fuzz

pytestmark = pytest.mark.slow

CONVERSATIONS = 20_000
MAX_GROWTH = 20 * 2**20
"""Bytes."""


def test_nothing_escapes_and_nothing_is_kept() -> None:
    fuzz(100, seed=1)
    before = psutil.Process().memory_info().rss
    ends = fuzz(CONVERSATIONS)
    assert psutil.Process().memory_info().rss - before < MAX_GROWTH
    errors = {error.__name__ for error in (NegentropyError.__subclasses__() + MalformedMessage.__subclasses__())}
    assert ends.keys() == {"finished", *errors}
    assert min(ends.values()) > 5, ends
