"""Coverage over time as pictures: SVG, written by hand, and small enough for an event's metadata. Pure.

Dagster's UI renders Markdown images whose address is a `data:` URI: those of less than 1,000 characters in place,
longer ones in a dialog. It has a light and a dark theme, which a picture in an <img> cannot know: the ground is
transparent, and text and grey are of a middle tone that can be read on both.

All numbers in a drawing are pixels, except in the grid: there the unit is one cell.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from bigbrotr_dagster.archive.coverage import ArchiveCoverage, Breakdown, RelayCoverage

TEXT = "#7a8593"
COMPLETE, PARTLY, SMALL_GAP, GAP, PENDING = (
    ("#2a9d6a", 1.0, "covered"),
    ("#2a9d6a", 0.55, "covered in part"),
    ("#f0a81c", 1.0, "gaps below 1 %"),
    ("#dc4637", 1.0, "gaps"),
    ("#8a95a5", 0.35, "pending"),
)
"""Colour, opacity and name of what a cell can show."""

LEVELS = 10
"""Steps of a cell's height."""

LEAST_GAP = 2
"""Steps that the smallest gap takes, for it must not be overlooked."""

PENDING_IGNORED = 3600
"""Seconds of a relay's last column that may be pending without being drawn: the next sync brings them."""

LABELS, SHARES, HEAD, ROW = 250, 120, 70, 15
STRIP_WIDTH, STRIP_HEIGHT = 352, 24


def picture(coverage: ArchiveCoverage) -> str:
    """SVG: the relays shown as rows, time as columns; in each cell the covered share from below, then the gaps."""
    columns, rows = len(coverage.columns), len(coverage.shown)
    cell = max(12, min(48, 576 // columns))
    width, height = max(LABELS + columns * cell + SHARES, 640), HEAD + rows * ROW + 6
    words = escape(in_words(coverage))
    ground = f"translate({LABELS} {HEAD}) scale({cell} {ROW})"
    dashes = f"{1 - 1 / cell:.3f} {1 / cell:.3f}"
    return "".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'"
            f" viewBox='0 0 {width} {height}' role='img' font-family='sans-serif' font-size='11' fill='{TEXT}'>",
            f"<title>Coverage of {rows} relays by {coverage.unit}. In all: {words}</title>",
            f"<text y='12' font-size='13' font-weight='600'>{words}</text>",
            *_legend(),
            *_axis(coverage, cell),
            f"<g transform='{ground}' fill='none' stroke-dasharray='{dashes}'>",
            *_grid(coverage.cells),
            "</g>",
            *(
                _row(relay, HEAD + number * ROW + 11, LABELS + columns * cell + 8)
                for number, relay in enumerate(coverage.shown)
            ),
            "</svg>",
        ]
    )


def strip(coverage: ArchiveCoverage) -> str:
    """SVG of all relays together: one bar a column. So short that it is shown without a click."""
    columns = coverage.columns
    step = STRIP_WIDTH // len(columns)
    ignored = [0] * (len(columns) - 1) + [PENDING_IGNORED * coverage.relays]
    bars = [_levels(one, STRIP_HEIGHT, 1, least) for one, least in zip(columns, ignored, strict=True)]
    covered = _bars([bottom for bottom, _, _ in bars], step)
    settled = _bars([bottom + gap for bottom, gap, _ in bars], step)
    size = f"width='{step * len(columns)}' height='{STRIP_HEIGHT}'"
    gap = SMALL_GAP if 100 * coverage.total.gap < coverage.total.asked else GAP
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' {size}><rect {size} fill='{PENDING[0]}' opacity='{PENDING[1]}'/>"
        f"<path fill='{gap[0]}' d='{settled}'/><path fill='{COMPLETE[0]}' d='{covered}'/></svg>"
    )


def markdown_image(svg: str, text: str) -> str:
    """Markdown that shows the picture; `text` is for those who cannot see it."""
    # In <...> an address may hold blanks and brackets; & would begin an entity there, and % an escape.
    address = quote(svg, safe=" !'()*+,-./:;=?@[]_{|}~")
    return f"![{text}](<data:image/svg+xml,{address}>)"


def in_words(coverage: ArchiveCoverage) -> str:
    """One line: the share of all relays' seconds that is covered, from when on."""
    since = datetime.fromtimestamp(coverage.edges[0], UTC)
    relays = f"{coverage.relays:,} relay{'s' if coverage.relays > 1 else ''}"
    share = percent(coverage.total, PENDING_IGNORED * coverage.relays)
    day = f"{since.day} " if coverage.unit in ("day", "week") else ""
    return f"{share} covered since {day}{since:%B %Y}: {relays}{gap_count(coverage.gaps)}"


def percent(seconds: Breakdown, pending_ignored: int = PENDING_IGNORED) -> str:
    """The covered share; 100 % is said of nothing less, but for what the next sync brings."""
    if seconds.covered and not seconds.gap and seconds.pending <= pending_ignored:
        return "100 %"
    return f"{min(99.9, int(1000 * seconds.covered_share) / 10):.1f} %"


def gap_count(count: int) -> str:
    """As in ", 3 gaps"; nothing where there are none."""
    return f", {count:,} gap{'s' if count > 1 else ''}" if count else ""


def _levels(seconds: Breakdown, height: int, least_gap: int, pending_ignored: int) -> tuple[int, int, int]:
    """How much of `height` is covered, gap and pending: whatever there is of any, however little, is drawn."""
    if not seconds.asked:
        return 0, 0, 0
    pending = gap = 0
    if seconds.pending > pending_ignored:
        pending = max(1, height * seconds.pending // seconds.asked)
    if seconds.gap:
        gap = max(least_gap, height * seconds.gap // seconds.asked)
    least = 1 if seconds.covered else 0
    while gap + pending + least > height:
        gap, pending = (gap - 1, pending) if gap > pending else (gap, pending - 1)
    if not seconds.covered:  # what rounding left over
        gap, pending = (height - pending, pending) if gap else (gap, height)
    return height - gap - pending, gap, pending


def _grid(rows: Sequence[Sequence[Breakdown]]) -> Iterator[str]:
    """Paths, one for each look and height; a stroke is dashed, so that neighbours of one kind are one stroke."""
    strokes: dict[tuple[tuple[str, float, str], int, int], list[tuple[int, int]]] = defaultdict(list)
    for row, cells in enumerate(rows):
        for column, seconds in enumerate(cells):
            ignored = PENDING_IGNORED if column == len(cells) - 1 else 0
            covered, gap, pending = _levels(seconds, LEVELS, LEAST_GAP, ignored)
            is_small = 100 * seconds.gap < seconds.asked
            for look, low, high in (
                (PARTLY if gap or pending else COMPLETE, 0, covered),
                (SMALL_GAP if is_small else GAP, covered, covered + gap),
                (PENDING, covered + gap, covered + gap + pending),
            ):
                if low < high:
                    strokes[look, low, high].append((column, row))
    for ((colour, opacity, _), low, high), drawn in strokes.items():
        thick = 0.9 * (high - low) / LEVELS
        middle = 0.95 - 0.9 * (low + high) / 2 / LEVELS
        style = f"stroke='{colour}' stroke-opacity='{opacity}' stroke-width='{thick:.2f}'"
        yield f"<path {style} transform='translate(0 {middle:.3f})' d='{runs(drawn)}'/>"


def runs(cells: Sequence[tuple[int, int]]) -> str:
    """Path of (column, row) cells, given row by row; neighbours are drawn as one stroke."""
    found: list[list[int]] = []
    for column, row in cells:
        if found and found[-1][1] == row and found[-1][0] + found[-1][2] == column:
            found[-1][2] += 1
        else:
            found.append([column, row, 1])
    return "".join(f"M{column} {row}h{length}" for column, row, length in found)


def _bars(heights: Sequence[int], step: int) -> str:
    """Path round bars that stand on the strip's ground; equal neighbours are one bar."""
    path, last = f"M0 {STRIP_HEIGHT}", 0
    for height in heights:
        path += (f"v{last - height}" if height != last else "") + f"h{step}"
        last = height
    return path + f"V{STRIP_HEIGHT}z"


def _legend() -> Iterator[str]:
    x = 0
    for colour, opacity, text in (COMPLETE, PARTLY, SMALL_GAP, GAP, PENDING):
        yield f"<rect x='{x}' y='23' width='11' height='11' fill='{colour}' opacity='{opacity}'/>"
        yield f"<text x='{x + 16}' y='33'>{text}</text>"
        x += 36 + 6 * len(text)


def _axis(coverage: ArchiveCoverage, cell: int) -> Iterator[str]:
    """Years above the columns in which they begin, and months above those, as far as there is room."""
    starts = [datetime.fromtimestamp(edge, UTC) for edge in coverage.edges[:-1]]
    years = [LABELS + n * cell for n, at in enumerate(starts) if n == 0 or at.year != starts[n - 1].year]
    with_months = coverage.unit not in ("quarter", "year")
    for x, following in zip(years, [*years[1:], math.inf], strict=True):
        if following - x > 34:
            at = starts[(x - LABELS) // cell]
            yield f"<text x='{x}' y='{HEAD - (18 if with_months else 5)}' font-weight='600'>{at.year}</text>"
    free = 0
    for number, at in enumerate(starts if with_months else ()):
        x = LABELS + number * cell
        if x >= free and (number == 0 or at.month != starts[number - 1].month):
            free = x + 24
            yield f"<text x='{x}' y='{HEAD - 5}' font-size='10'>{at:%b}</text>"


def _row(relay: RelayCoverage, y: int, right: int) -> str:
    """A relay's name on the left, its share and gaps on the right."""
    name = relay.url.removeprefix("wss://")
    name = name if len(name) <= 38 else f"{name[:22]}…{name[-15:]}"
    share = f"<text x='{right}' y='{y}'>{percent(relay.seconds)}{gap_count(relay.gaps)}</text>"
    return f"<text x='{LABELS - 8}' y='{y}' text-anchor='end'>{escape(name)}</text>{share}"
