"""The relays that are most behind, as a picture so short that the UI shows it in place (see `picture`). Pure."""

from collections.abc import Sequence
from html import escape

from bigbrotr_dagster.archive.coverage import ArchiveCoverage, Breakdown
from bigbrotr_dagster.defs.archive.picture import (
    COMPLETE,
    GAP,
    PARTLY,
    PENDING_IGNORED,
    SMALL_GAP,
    TEXT,
    gap_count,
    markdown_image,
    percent,
    runs,
)

MOST_ROWS = 12
MOST_CHARACTERS = 999
"""The UI hides longer Markdown behind a click."""

LABELS, CELLS, SHARES, ROW = 124, 144, 88, 16
"""In all what the page of an asset has room for in a window of 1,400 pixels."""
LONGEST_NAME = 20


def sketch(coverage: ArchiveCoverage) -> str | None:
    """Markdown: as many of the relays most behind as there is room for, a row each; None where none has room."""
    for rows in range(min(MOST_ROWS, len(coverage.shown)), 0, -1):
        text = f"{markdown_image(_svg(coverage, rows), 'Most behind')}\n\n{_caption(coverage, rows)}"
        if len(text) <= MOST_CHARACTERS:
            return text
    return None


def _caption(coverage: ArchiveCoverage, rows: int) -> str:
    which = "All relays" if rows == coverage.relays else f"The {rows} relays most behind of {coverage.relays:,}"
    looks = "Green: covered; pale: in part; red, amber: gaps."
    return f"{which}, by {coverage.unit}. {looks} `coverage_by_relay` has more."


def _svg(coverage: ArchiveCoverage, rows: int) -> str:
    columns = len(coverage.columns)
    width, height = LABELS + CELLS + SHARES, rows * ROW
    grid = f"translate({LABELS} {ROW // 2}) scale({CELLS / columns:.4g} {ROW})"
    words = "".join(_words(coverage, row) for row in range(rows))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' font-family='sans-serif'"
        f" font-size='10' fill='{TEXT}'>"
        f"<g transform='{grid}' stroke-width='.8'><path opacity='.2' d='M0-.5h{columns}v{rows}H0'/>"
        f"{_paths(coverage.cells[:rows])}</g>{words}</svg>"
    )


def _words(coverage: ArchiveCoverage, row: int) -> str:
    """A relay's name before its row, its share behind it."""
    relay, y = coverage.shown[row], row * ROW + 12
    name = relay.url.partition("://")[2]
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 10]}..{name[-8:]}"
    share = f"{percent(relay.seconds)}{gap_count(relay.gaps)}"
    return f"<text y='{y}'>{escape(name)}</text><text x='{LABELS + CELLS + 6}' y='{y}'>{share}</text>"


def _paths(rows: Sequence[Sequence[Breakdown]]) -> str:
    """One path for each look, with the cells that have it; what has none is pending, and shows the ground."""
    cells: dict[tuple[str, float, str], list[tuple[int, int]]] = {}
    for row, columns in enumerate(rows):
        for column, seconds in enumerate(columns):
            ignored = PENDING_IGNORED if column == len(columns) - 1 else 0
            look = _look(seconds, ignored)
            if look is not None:
                cells.setdefault(look, []).append((column, row))
    return "".join(
        f"<path stroke='{colour}'{_opacity(opacity)} d='{runs(found)}'/>"
        for (colour, opacity, _), found in cells.items()
    )


def _look(seconds: Breakdown, pending_ignored: int) -> tuple[str, float, str] | None:
    if seconds.gap:
        return SMALL_GAP if 100 * seconds.gap < seconds.asked else GAP
    if not seconds.covered:
        return None
    return COMPLETE if seconds.pending <= pending_ignored else PARTLY


def _opacity(opacity: float) -> str:
    return "" if opacity == 1 else f" opacity='{opacity}'"
