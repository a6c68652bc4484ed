"""The columns of a picture over time: whole days, weeks, months, quarters or years (UTC)."""

from datetime import UTC, datetime

MOST_COLUMNS = 48

DAY = 86_400
MONDAY = 3
"""Unix time began on a Thursday: 3 days after the first of its week."""
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
UNITS = (*DAYS, *MONTHS)


def columns_between(start: int, end: int) -> tuple[str, list[int]]:
    """Edges of the days (weeks, months, quarters, years) that hold the seconds from `start` on and before `end`.

    The unit is the smallest of which `MOST_COLUMNS` suffice. n columns have n + 1 edges.
    """
    unit = next((unit for unit in UNITS if _number(unit, end - 1) - _number(unit, start) < MOST_COLUMNS), "year")
    numbers = range(_number(unit, start), _number(unit, end - 1) + 2)
    return unit, [_first_second(unit, number) for number in numbers]


def _number(unit: str, second: int) -> int:
    """The column that a second belongs to, counted from some column on."""
    if unit in DAYS:
        return (second // DAY + MONDAY) // DAYS[unit]
    at = datetime.fromtimestamp(second, UTC)
    return (at.year * 12 + at.month - 1) // MONTHS[unit]


def _first_second(unit: str, number: int) -> int:
    if unit in DAYS:
        return (number * DAYS[unit] - MONDAY) * DAY
    month = number * MONTHS[unit]
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())
