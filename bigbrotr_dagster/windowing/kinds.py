"""Kinds that are asked for by number, where asking for all kinds proves nothing or is refused."""

COMMON_KINDS = (
    *(0, 1, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 40, 42, 43, 44, 818, 1059, 1063, 1111, 1311, 1617, 1984, 1985),
    *(4550, 5300, 6300, 7000, 9041, 9734, 9735, 9802, 10000, 10001, 10002, 10003, 10050, 22242, 24133, 27235),
    *(30000, 30001, 30003, 30008, 30009, 30017, 30018, 30023, 30024, 30030, 30078, 30311, 30315, 30402, 31922),
    *(31923, 31989, 31990, 34235, 34550, 38000, 38172),
)
"""The busiest kinds of the public network."""

READABLE_KINDS = tuple(kind for kind in COMMON_KINDS if kind not in (4, 13, 14, 1059, 22242, 24133))
"""Those of them that relays give to anyone (strfry keeps 4 and 1059 from strangers)."""

LARGE_WINDOW = 7 * 86_400
"""Seconds: that nothing is left in a larger window is confirmed with `READABLE_KINDS` before it counts."""
