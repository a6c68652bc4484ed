"""Python's search for objects that refer to each other in circles, less often while events come by the thousand.

Events are no such objects, they go when the last reference to them does; to look for circles among them after
each 700 objects that are made costs a fifth of a sync's time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 20_000
"""Made and not yet gone: so many start a search."""


@contextmanager
def rare_searches() -> Iterator[None]:
    """Search for garbage once in `OBJECTS` objects, in all of this process."""
    before = gc.get_threshold()
    if before[0]:  # else nobody wants any
        gc.set_threshold(max(OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
