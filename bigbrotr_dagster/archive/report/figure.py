"""What the plots share: their look, their axes of time, and a stranger's words. All times are UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from bigbrotr_dagster.nostr.text import safe_line

INK, FAINT, GRID = "#25303b", "#6b7785", "#e6eaee"
MOST_CHARACTERS = 34
"""Of a relay's URL beside a row or column; its whole is shown where the pointer is, up to `MOST_SHOWN`."""
MOST_SHOWN = 120
SCALE = {
    "tickformat": ".0%",
    "thickness": 10,
    "outlinewidth": 0,
    "len": 180,
    "lenmode": "pixels",
    "y": 1,
    "yanchor": "top",
}
"""What the colours of a picture mean."""
FEWEST_COLUMNS = 8
"""Of an axis of time."""
ROW, COLUMN_HEIGHT = 17, 300
"""Pixels: a row of a picture with many, and the height of plots beside each other."""


def stranger(text: str, most: int = MOST_SHOWN) -> str:
    """A stranger's text, shortened in its middle, of which plotly.js makes nothing but text."""
    text = safe_line(text)
    if len(text) > most:
        text = f"{text[: most * 2 // 3]}…{text[len(text) - most // 3 + 1 :]}"
    return escape(text, quote=False)  # plotly.js knows no other entities


def short_name(url: str) -> str:
    """A relay's URL as it stands beside a row."""
    return stranger(url.removeprefix("wss://"), MOST_CHARACTERS)


def figure(traces: Sequence[Any], height: int, **layout: Any) -> Any:
    """A figure in the page's own look, of so many pixels' height; what `layout` says goes before it."""
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "automargin": True,
        "title": {"standoff": 12, "font": {"color": FAINT}},
    }
    drawn = go.Figure(list(traces))
    drawn.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis=axis,
        yaxis=axis,
        bargap=0.12,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left", "bgcolor": "white", "bordercolor": GRID, "font": {"color": INK}},
        showlegend=False,
    )
    return drawn.update_layout(**layout)


def moment(second: float) -> datetime:
    """A second (Unix time) as plotly takes it: without a zone, which is UTC everywhere here."""
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None)


def times(edges: Sequence[int]) -> tuple[list[datetime], list[int]]:
    """The middle of each column, and its width in milliseconds, as plotly places bars on an axis of time."""
    pairs = list(pairwise(edges))
    middles = [moment((first + after) / 2) for first, after in pairs]
    return middles, [round(940 * (after - first)) for first, after in pairs]


def span(edges: Sequence[int]) -> list[datetime]:
    """From when to when an axis of time goes: a young archive's columns stand at its end."""
    width = edges[-1] - edges[-2]
    first = min(edges[0], edges[-1] - FEWEST_COLUMNS * width)
    return [moment(edge) for edge in (first, edges[-1])]


def column_names(unit: str, edges: Sequence[int]) -> list[str]:
    """What a column is called: 2026-11-25, the week from then on, 2026-11, 2026 Q4, 2026."""
    names = []
    for first in edges[:-1]:
        at = moment(first)
        quarter = f"{at.year} Q{(at.month + 2) // 3}"
        week = f"week from {at:%Y-%m-%d}"
        named = {"day": f"{at:%Y-%m-%d}", "week": week, "month": f"{at:%B %Y}", "quarter": quarter}
        names.append(named.get(unit, f"{at.year}"))
    return names
