"""How modest a relay's refusals have made us: the rungs of a ladder, which `conduct` goes down one by one."""

from enum import IntEnum


class Rung(IntEnum):
    """How modest a relay's refusals have made us. First what costs nothing but requests, then what costs kinds."""

    FREE = 0
    SMALL_LIMIT = 1
    SHORT_WINDOW = 2
    KINDS_NAMED = 3
    KINDS_AND_LIMIT = 4
    KINDS_AND_WINDOW = 5

    @property
    def names_kinds(self) -> bool:
        """Whether common kinds are asked for by number, never all kinds."""
        return self >= Rung.KINDS_NAMED

    @property
    def limits(self) -> bool:
        """Whether a REQ asks for `SMALL_LIMIT` events at most."""
        return self not in (Rung.FREE, Rung.KINDS_NAMED)

    @property
    def shortens(self) -> bool:
        """Whether a REQ spans `SHORT_WINDOW` seconds at most."""
        return self in (Rung.SHORT_WINDOW, Rung.KINDS_AND_WINDOW)


SMALL_LIMIT = 100
"""Events: the `limit` up to which relays that refuse scrapers answer (relays.md)."""

SHORT_WINDOW = 7_200
"""Seconds: the range up to which they answer otherwise."""
