"""Kinds that are asked for by number, where asking for all kinds proves nothing or is refused."""

from collections.abc import Iterable
from enum import StrEnum

MOST_KINDS = 20
"""Kinds in one filter: what `@nostr-relay` (npm) takes; strfry's `filterValidation` has a bound, too."""

Kinds = tuple[int, ...]

COMMON_KINDS: Kinds = (
    *(0, 1, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 40, 42, 43, 44, 818, 1059, 1063, 1111, 1311, 1617, 1984, 1985),
    *(4550, 5300, 6300, 7000, 9041, 9734, 9735, 9802, 10000, 10001, 10002, 10003, 10050, 22242, 24133, 27235),
    *(30000, 30001, 30003, 30008, 30009, 30017, 30018, 30023, 30024, 30030, 30078, 30311, 30315, 30402, 31922),
    *(31923, 31989, 31990, 34235, 34550, 38000, 38172),
)
"""The busiest kinds of the public network."""

_BUSIEST: Kinds = (
    1,
    7,
    6,
    0,
    3,
    9735,
    10002,
    1111,
    5,
    30023,
    16,
    30078,
    1984,
    10000,
    30311,
    30315,
    1311,
    42,
    30000,
)

RESTRICTED_KINDS: Kinds = (4, 1059)
"""Those that relays keep for whom they concern: strfry challenges (NIP-42) only who asks for nothing else."""


class Access(StrEnum):
    """Whether a relay gives us the kinds that some keep for whom they concern (`RESTRICTED_KINDS`)."""

    UNKNOWN = ""
    OPEN = "open"
    """To anybody."""
    WITHHELD = "withheld"
    """To those with a key."""
    REFUSED = "refused"
    """Not to our key."""
    GIVEN = "given"
    """To our key, where they are asked for alone."""


_RESTRICTED = frozenset({4, 13, 14, 1059, 22242, 24133})

_NEVER_HIDDEN = 38172
"""A kind that no relay has a reason to keep back, and of which there are few."""


def grouped(kinds: Iterable[int]) -> tuple[Kinds, ...]:
    """The kinds in their order, so many at a time as one filter may hold."""
    listed = tuple(kinds)
    return tuple(listed[start : start + MOST_KINDS] for start in range(0, len(listed), MOST_KINDS))


def halved(groups: tuple[Kinds | None, ...]) -> tuple[Kinds | None, ...]:
    """The groups, the first one in two halves; none where that cannot be."""
    first, *rest = groups
    if first is None or len(first) < 2:
        return ()
    return (first[: len(first) // 2], first[len(first) // 2 :], *rest)


READABLE_KINDS: tuple[Kinds | None, ...] = grouped(
    (*_BUSIEST, *(kind for kind in COMMON_KINDS if kind not in _RESTRICTED and kind not in _BUSIEST))
)
"""Those that relays give to anyone (strfry keeps 4 and 1059 from strangers), in groups: the busiest ones first."""


def all_but(kinds: Iterable[int]) -> tuple[Kinds, ...]:
    """The other ones of `COMMON_KINDS`, in groups: those that may be hidden apart, for these take up room.

    One of the kinds that nobody hides is asked for beside them, for some relays refuse who asks for nothing else.
    """
    left = [kind for kind in COMMON_KINDS if kind not in set(kinds)]
    hidden = [kind for kind in left if kind in _RESTRICTED]
    readable = grouped(kind for kind in left if kind not in _RESTRICTED)
    return ((*hidden, _NEVER_HIDDEN), *readable) if hidden else readable


LARGE_WINDOW = 2 * 86_400
"""Seconds: that nothing is left in a larger window is confirmed with `READABLE_KINDS` before it counts."""
