"""The report's plots, by plotly (the extra `report`). Pure: facts in, JSON for plotly.js out.

Text of strangers goes through `stranger`: plotly.js reads a few HTML tags and entities in every text, and makes
links of some. All times are UTC.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from bigbrotr_dagster.archive.coverage import ArchiveCoverage
from bigbrotr_dagster.archive.report.facts import MOST_COPIES, Growth, Overlap, ReportFacts
from bigbrotr_dagster.archive.report.figure import (
    COLUMN_HEIGHT,
    GRID,
    MOST_CHARACTERS,
    ROW,
    SCALE,
    column_names,
    figure,
    moment,
    short_name,
    span,
    stranger,
    times,
)
from bigbrotr_dagster.archive.stats import KIND_NAMES, NetworkEvents

COVERED, GAP, PENDING = "#2a9d6a", "#dc4637", "#cdd4db"
MADE, SEEN, KINDS, HELD, OBSERVED, COPIES = "#3b6fb6", "#7a5bb0", "#3b6fb6", "#1f8a99", "#9fd0d6", "#c77d2b"


def plots(facts: ReportFacts) -> Iterator[tuple[str, str]]:
    """The name of each plot, which is its place in the page, and its JSON (`data` and `layout`)."""
    coverage = facts.coverage
    yield "created", _json(_growth(facts.created, MADE, "made"))
    if facts.seen is not None:
        yield "seen", _json(_growth(facts.seen, SEEN, "first seen"))
    yield "kinds", _json(_kinds(facts.kinds))
    yield "networks", _json(_networks(facts.networks))
    yield "copies", _json(_copies(facts.copies))
    yield "coverage", _json(_coverage(coverage))
    if coverage.shown:
        yield "behind", _json(_behind(coverage))
    if coverage.reasons:
        yield "gaps", _json(_gaps(coverage))
    if facts.overlap.urls:
        yield "overlap", _json(_overlap(facts.overlap))


def _json(drawn: Any) -> str:
    return str(drawn.to_json())


def _growth(growth: Growth, colour: str, verb: str) -> Any:
    middles, widths = times(growth.edges)
    bars = go.Bar(
        x=middles,
        y=[round(value, 1) for value in growth.per_day],
        width=widths,
        marker_color=colour,
        customdata=column_names(growth.unit, growth.edges),
        hovertemplate=f"%{{customdata}}<br><b>%{{y:,.0f}}</b> events a day were {verb}<extra></extra>",
    )
    return figure(
        [bars],
        COLUMN_HEIGHT,
        yaxis_title_text=f"events a day {verb}",
        yaxis_rangemode="tozero",
        xaxis_range=span(growth.edges),
    )


def _kinds(kinds: Sequence[tuple[int, int]]) -> Any:
    names = [f"{kind} · {KIND_NAMES[kind]}" if kind in KIND_NAMES else str(kind) for kind, _ in kinds]
    counts = [count for _, count in kinds]
    rows = list(range(len(kinds)))
    bars = go.Bar(
        x=counts,
        y=rows,
        orientation="h",
        width=min(0.8, len(rows) / 12),
        marker_color=KINDS,
        customdata=names,
        text=[f" {count:,}" for count in counts],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="kind %{customdata}<br><b>%{x:,}</b> events<extra></extra>",
    )
    ticks = {"tickvals": rows, "ticktext": names, "autorange": "reversed", "gridcolor": "white"}
    widest = 1.18 * max(counts, default=1)  # room for the numbers
    return figure([bars], 2 * COLUMN_HEIGHT + 86, yaxis=ticks, xaxis_title_text="events", xaxis_range=[0, widest])


def _networks(networks: Sequence[NetworkEvents]) -> Any:
    names = [one.network for one in networks]
    held = go.Bar(
        x=names,
        y=[one.events for one in networks],
        name="events held",
        marker_color=HELD,
        hovertemplate="%{x}: <b>%{y:,}</b> events are held there<extra></extra>",
    )
    seen = go.Bar(
        x=names,
        y=[one.observations for one in networks],
        name="observations (an event counts for each relay)",
        marker_color=OBSERVED,
        hovertemplate="%{x}: <b>%{y:,}</b> observations<extra></extra>",
    )
    return figure(
        [held, seen], COLUMN_HEIGHT, showlegend=True, bargap=0.4, yaxis_title_text="events, observations"
    )


def _copies(copies: Sequence[tuple[int, int]]) -> Any:
    numbers = [number for number, _ in copies]
    bars = go.Bar(
        x=numbers,
        y=[count for _, count in copies],
        marker_color=COPIES,
        customdata=[f"{number} or more" if number == MOST_COPIES else str(number) for number in numbers],
        hovertemplate="<b>%{y:,}</b> events are held by %{customdata} relays<extra></extra>",
    )
    axis = {"title": {"text": "relays that hold an event"}, "dtick": 1 if max(numbers, default=1) <= 12 else 5}
    return figure([bars], COLUMN_HEIGHT, xaxis=axis, yaxis_title_text="events")


def _coverage(coverage: ArchiveCoverage) -> Any:
    middles, widths = times(coverage.edges)
    names = column_names(coverage.unit, coverage.edges)
    shares = [
        ("covered", COVERED, [column.covered for column in coverage.columns]),
        ("gaps", GAP, [column.gap for column in coverage.columns]),
        ("pending", PENDING, [column.pending for column in coverage.columns]),
    ]
    bars = [
        go.Bar(
            x=middles,
            y=[seconds / max(1, column.asked) for seconds, column in zip(each, coverage.columns, strict=True)],
            width=widths,
            name=name,
            marker_color=colour,
            customdata=names,
            hovertemplate=f"%{{customdata}}<br><b>%{{y:.2%}}</b> {name}<extra></extra>",
        )
        for name, colour, each in shares
    ]
    axis = {"title": {"text": "share of the seconds"}, "tickformat": ".0%", "range": [0, 1], "gridcolor": GRID}
    return figure(
        bars, COLUMN_HEIGHT, barmode="stack", showlegend=True, yaxis=axis, xaxis_range=span(coverage.edges)
    )


def _behind(coverage: ArchiveCoverage) -> Any:
    """The covered share of the relays most behind, by column; given n + 1 times, plotly takes them for edges."""
    names = column_names(coverage.unit, coverage.edges)
    shares = [[one.covered / one.asked if one.asked else None for one in row] for row in coverage.cells]
    urls = [stranger(relay.url) for relay in coverage.shown]
    told = [[f"{url}<br>{name}" for name in names] for url in urls]
    picture = go.Heatmap(
        x=[moment(edge) for edge in coverage.edges],
        y=list(range(len(urls))),
        z=shares,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=2,
        customdata=told,
        colorscale=[[0, "#eceff2"], [0.001, "#d7ecdf"], [1, COVERED]],
        colorbar=SCALE,
        hovertemplate="%{customdata}<br><b>%{z:.2%}</b> covered<extra></extra>",
    )
    rows = {
        "tickvals": list(range(len(urls))),
        "ticktext": [short_name(relay.url) for relay in coverage.shown],
        "autorange": "reversed",
        "showgrid": False,
    }
    return figure([picture], 90 + ROW * max(4, len(urls)), yaxis=rows, xaxis_showgrid=False)


def _gaps(coverage: ArchiveCoverage) -> Any:
    reasons = coverage.reasons[:12]
    rows = list(range(len(reasons)))
    days = [one.seconds / 86_400 for one in reasons]
    told = [f"{one.gaps:,} gaps of {one.relays:,} relays" for one in reasons]
    bars = go.Bar(
        x=days,
        y=rows,
        orientation="h",
        marker_color=GAP,
        customdata=told,
        text=[f" {text}" for text in told],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{customdata}<br><b>%{x:,.1f}</b> days<extra></extra>",
    )
    names = [stranger(one.reason, MOST_CHARACTERS) for one in reasons]
    ticks = {"tickvals": rows, "ticktext": names, "autorange": "reversed", "gridcolor": "white"}
    widest = 1.4 * max(max(days), 1e-6)
    axis = {"title": {"text": "days in gaps, over all relays"}, "range": [0, widest], "gridcolor": GRID}
    return figure([bars], 80 + 28 * max(3, len(rows)), yaxis=ticks, xaxis=axis)


def _overlap(overlap: Overlap) -> Any:
    """A row's share that each column holds, too."""
    count = len(overlap.urls)
    urls = [stranger(url) for url in overlap.urls]
    shares = [[both / max(1, row[place]) for both in row] for place, row in enumerate(overlap.shared)]
    told = [
        [
            f"{urls[row]}<br>holds {both[row]:,} of these events, of those<br>{url}<br>holds {both[column]:,}"
            for column, url in enumerate(urls)
        ]
        for row, both in enumerate(overlap.shared)
    ]
    picture = go.Heatmap(
        x=list(range(count)),
        y=list(range(count)),
        z=shares,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        customdata=told,
        colorscale=[[0, "#f2f5f8"], [0.5, "#7ba6d6"], [1, "#17375e"]],
        colorbar=SCALE,
        hovertemplate="%{customdata}: <b>%{z:.1%}</b><extra></extra>",
    )
    names = [short_name(url) for url in overlap.urls]
    ticks = {"tickvals": list(range(count)), "ticktext": names, "showgrid": False}
    columns, rows = ticks | {"tickangle": -50}, ticks | {"autorange": "reversed"}
    return figure([picture], 190 + 21 * max(6, count), xaxis=columns, yaxis=rows)
