"""The report as one HTML file that needs nothing else: style, plotly.js and the plots are in it.

Its Content-Security-Policy names the hashes of the two scripts that it runs, and lets it load nothing: what a
stranger wrote could run nothing, and tell nobody, even if it came through every escape.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from bigbrotr_dagster import __version__
from bigbrotr_dagster.archive.report.facts import KINDS_SHOWN, RELAYS_COMPARED, ReportFacts
from bigbrotr_dagster.archive.report.look import DRAW, STYLE

TITLE = "Archive report"
PROGRAM = f"bigbrotr-dagster {__version__}"


def page(facts: ReportFacts, plots: Mapping[str, str], plotly_js: str) -> str:
    """The HTML. `plots`: JSON by name; `plotly_js`: the library's text."""
    library = plotly_js.replace("\r\n", "\n")  # as the browser reads it, before it looks at the hash
    policy = (
        f"default-src 'none'; script-src '{_hash(library)}' '{_hash(DRAW)}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    data = ",".join(f'"{name}":{text}' for name, text in plots.items()).replace("<", "\\u003c")
    made = datetime.fromtimestamp(facts.made_at, UTC)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{TITLE}, {made:%Y-%m-%d}</title>",
            f"<style>{STYLE}</style></head><body><main>",
            f"<header><h1>{TITLE}</h1><p>{made:%A, %d %B %Y, %H:%M} UTC · {PROGRAM}</p></header>",
            f'<div class="tiles">{"".join(_tiles(facts))}</div>',
            f'<p class="note">{_method(facts)}</p>',
            '<div class="grid">',
            *(section.html() for section in _sections(facts) if section.plot in plots),
            "</div>",
            "</main>",
            f'<script type="application/json" id="plots">{{{data}}}</script>',
            f"<script>{library}</script>",
            f"<script>{DRAW}</script>",
            "</body></html>",
            "",
        ]
    )


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _tiles(facts: ReportFacts) -> Iterator[str]:
    """Numbers that come first: value, what it is, and what it is made of."""
    coverage, tables = facts.coverage, facts.tables
    networks = ", ".join(f"{count:,} {name}" for name, count in facts.relays.items())
    observations = tables["observation"].rows
    size = sum(table.bytes for table in tables.values())
    copies = f"{observations / facts.events:.1f} for each event" if facts.events else "none yet"
    share = f"{100 * coverage.total.covered_share:.1f} %" if coverage.total.asked else "none"
    days = coverage.total.gap / 86_400
    for value, name, more in (
        (_short(facts.events), "events", f"{facts.events:,} rows"),
        (_short(observations), "observations", copies),
        (f"{sum(facts.relays.values()):,}", "registered relays", networks or "none yet"),
        (share, "covered", f"of the seconds of {coverage.relays:,} relays"),
        (
            f"{coverage.gaps:,}",
            "open gaps",
            f"{days:,.1f} days in all" if coverage.gaps else "every gap is settled",
        ),
        (
            _size(size),
            "in PostgreSQL",
            f"{size / facts.events:,.0f} bytes an event" if facts.events else "none yet",
        ),
    ):
        yield (
            f'<div class="tile"><strong>{escape(value)}</strong><span>{escape(name)}</span>'
            f"<small>{escape(more)}</small></div>"
        )


def _method(facts: ReportFacts) -> str:
    """What is exact, and what is an estimate."""
    if not facts.sampled:
        return "The archive holds no event yet. All times are UTC."
    if facts.sampled_share == 1 and facts.followed == facts.sampled:
        return "All numbers are exact: an archive of this size is counted, not sampled. All times are UTC."
    share = f"{100 * facts.sampled_share:.2g} % of all, drawn by pages of the disk"
    drawn = f"all {facts.sampled:,} events" if facts.sampled_share == 1 else f"{facts.sampled:,} events ({share})"
    return (
        "Coverage and gaps are exact, as of this moment. Rows are PostgreSQL's own estimate where a table is "
        f"large. What is marked <em>estimated</em> comes from {drawn} and the observations of "
        f"{facts.followed:,} of them, scaled to the whole archive. All times are UTC."
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """A plot's place. `words`: what it shows; `shape`: `wide` takes both columns of the page, `tall` two rows."""

    plot: str
    title: str
    words: str
    is_estimate: bool = False
    shape: str = ""

    def html(self) -> str:
        mark = " <em>estimated</em>" if self.is_estimate else ""
        return (
            f'<section class="{self.shape}"><h2>{self.title}{mark}</h2><p>{self.words}</p>'
            f'<div class="plot" id="{self.plot}" role="img" aria-label="{self.title}"></div></section>'
        )


def _sections(facts: ReportFacts) -> Iterator[_Section]:
    coverage, unit = facts.coverage, facts.created.unit
    drawn, followed = facts.sampled_share < 1, facts.sampled_share < 1 or facts.followed < facts.sampled
    came = f"A bar is one {facts.seen.unit if facts.seen else unit}: when the first relay was seen with an event."
    left_out = max(0, coverage.relays - len(coverage.shown))
    others = f" {left_out:,} others are left out." if left_out else ""
    common = (
        f"Of the events of a row's relay, the share that a column's relay holds, too: the {RELAYS_COMPARED} "
        "relays with most events. A dark column holds what others hold; a pale row holds what nobody else does."
    )
    every = f"The seconds that are asked of {coverage.relays:,} relays, by {unit}."
    yield _Section("created", "When events were made", f"A bar is one {unit}, by the authors' clocks.", drawn)
    yield _Section("seen", "When events came", came, followed)
    yield _Section("coverage", "Coverage", every, shape="" if coverage.reasons else "wide")
    yield _Section("gaps", "Open gaps by reason", "Seconds that could not be proved; each is tried again.")
    yield _Section(
        "behind",
        "The relays most behind",
        f"A cell is one {unit} of a relay: how much of it is covered.{others}",
        shape="wide",
    )
    yield _Section("kinds", "Events by kind", f"The {KINDS_SHOWN} most common kinds.", drawn, "tall")
    yield _Section("copies", "On how many relays an event is", "Few copies are lost with few relays.", followed)
    yield _Section("networks", "Events by network", "What the relays of each network hold.", followed)
    yield _Section("overlap", "What relays have in common", common, followed, shape="wide")


def _short(number: float) -> str:
    """A count in at most four characters and a word."""
    for size, word in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:,.0f}"


def _size(number: float) -> str:
    for size, word in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{number / 2**10:,.0f} KiB"
