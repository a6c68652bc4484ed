"""The report's style, and the script that hands its plots to plotly.js."""

STYLE = """
:root { color-scheme: light; --ink: #25303b; --faint: #6b7785; --line: #e2e7ec; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1360px; margin: 0 auto; padding: 28px 24px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 20px; margin-bottom: 18px; }
h1 { font-size: 27px; letter-spacing: -0.01em; margin: 0; }
header p, section p, .note, small { color: var(--faint); }
header p { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 18px; display: flex; flex-direction: column; }
.tile strong { font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { font-weight: 600; }
.note { font-size: 13.5px; margin: 16px 2px; max-width: 110ch; }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px; align-items: start; }
section { padding: 16px 18px 12px; min-width: 0; align-self: stretch; }
section.wide { grid-column: 1 / -1; }
section.tall { grid-row: span 2; }
h2 { font-size: 17px; margin: 0; }
section p { font-size: 13.5px; margin: 2px 0 10px; }
em { font-style: normal; }
h2 em, .note em { font-size: 11.5px; font-weight: 600; color: #8a5a12; background: #fdf1dc; border-radius: 9px;
  padding: 2px 8px; vertical-align: 1px; white-space: nowrap; }
.plot { width: 100%; }
@media (max-width: 900px) { .grid { grid-template-columns: minmax(0, 1fr); } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""

DRAW = """
const plots = JSON.parse(document.getElementById("plots").textContent);
const options = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"]};
const drawn = Object.entries(plots).map(([place, plot]) => Plotly.newPlot(place, plot.data, plot.layout, options));
Promise.all(drawn).then(() => { document.body.dataset.drawn = String(drawn.length); });
"""
