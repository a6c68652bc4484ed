"""Which days are due: covered and not written yet, or changed since they were written."""

from collections.abc import Collection, Mapping

from bigbrotr_dagster.archive.export.coverage import Asked
from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.manifest import FORMAT, Manifest
from bigbrotr_dagster.archive.export.snapshot import NOTHING, DayTotals, day_totals
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection


def due_days(
    connection: BlockingConnection,
    written: Mapping[Day, Manifest],
    asked: Asked,
    *,
    share: float,
    first: Day,
    today: Day,
    touched: Collection[Day] | None = None,
) -> dict[Day, str]:
    """The days from `first` on and before `today` that are due, ascending, each with the reason.

    It is `new`, `changed`, or `format`.
    A day without events is `new` never. What was written is compared by `DayTotals`, whatever is covered by now.
    `share`: of the relays of what is `asked`, how many have to prove a new day. `touched`:
    the only days that can have changed; None: all can.
    """
    held = {Day(number) for (number,) in connection.execute(query("event_days"), {"before": today.number})}
    values = {
        "days": [day.number for day in sorted(held - written.keys()) if day >= first],
        "filter_hash": asked.filter.hash(),
        "networks": list(asked.networks),
        "share": share,
    }
    due = {Day(number): "new" for (number,) in connection.execute(query("covered_days"), values)}
    written = {day: manifest for day, manifest in written.items() if day >= first}
    totals = _totals(connection, written, touched)
    for day, manifest in written.items():
        if manifest.format != FORMAT:
            due[day] = "format"
        elif (touched is None or day in touched) and manifest.totals != totals.get(day, NOTHING).document():
            due[day] = "changed"
    return dict(sorted(due.items()))


def touched_days(connection: BlockingConnection, seen_since: int) -> set[Day]:
    """The days of events that a relay was first seen with since then (Unix time): of what is new or late."""
    return {Day(number) for (number,) in connection.execute(query("touched_days"), {"seen_since": seen_since})}


def _totals(
    connection: BlockingConnection, written: Collection[Day], touched: Collection[Day] | None
) -> dict[Day, DayTotals]:
    """What the archive holds of the days that are written; of some that were touched, each is read by itself."""
    if touched is None:
        return day_totals(connection, min(written), max(written)) if written else {}
    found: dict[Day, DayTotals] = {}
    for day in set(touched) & set(written):
        found |= day_totals(connection, day, day)
    return found
