"""A static page with the curves and the table: opened from disk, it needs no server and no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from prune_bench.files import write_text
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.figures.curves import Curve, axes_of, describe_axis, file_of, scores_of, title_of
from prune_bench.reports.pages.sheets import Sheet, bracket, to_html
from prune_bench.reports.pages.styles import FAINT, INK, RULE, style_of

SCRIPT = "plotly.min.js"
TICKS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000]
SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "D": "diamond",
    "P": "cross",
    "X": "x",
    "h": "hexagon",
}
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<script src="$script"></script>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: $ink; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .15rem .6rem; text-align: right; }
th:nth-child(2), td:nth-child(2) { text-align: left; }
thead { border-top: 2px solid $ink; border-bottom: 1px solid $ink; }
thead th[colspan] { text-align: center; }
thead th { font-weight: 600; }
tbody { border-bottom: 1px solid $rule; }
tbody:last-child { border-bottom: 2px solid $ink; }
tbody tr:hover { background: #f4f6f8; }
ul { color: $faint; font-size: .82rem; padding-left: 1.2rem; }
</style>
</head>
<body>
<h1>$title</h1>
$plots
<h2>All runs</h2>
<div class="wide">
$table
</div>
</body>
</html>
""")


def write_dashboard(sheet: Sheet, curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Write `index.html`, and beside it Plotly's script unless it is there already; returns both paths."""
    script = folder / SCRIPT
    if not script.exists():
        write_text(script, get_plotlyjs())
    page = PAGE.substitute(
        title=html.escape(sheet.title),
        script=SCRIPT,
        plots="\n".join(_embed(curves, quantity) for quantity in axes_of(curves)),
        table=to_html(sheet),
        ink=INK,
        faint=FAINT,
        rule=RULE,
    )
    return [write_text(folder / "index.html", page), script]


def plot_curves(curves: Sequence[Curve], quantity: str) -> go.Figure:
    """Scores against another quantity, a panel each; a click on a name hides a method in all."""
    scores = scores_of(curves)
    figure = make_subplots(rows=1, cols=len(scores), subplot_titles=[title_of(curves, score) for score in scores])
    for column, score in enumerate(scores, start=1):
        for curve in curves:
            if any(quantity in point.x and score in point.y for point in curve.points):
                figure.add_trace(_trace(curve, quantity, score, legend=column == 1), row=1, col=column)
    figure.update_xaxes(title=describe_axis(curves, quantity), autorange="reversed", gridcolor=RULE, zeroline=False)
    figure.update_yaxes(type="log", tickvals=TICKS, gridcolor=RULE)
    figure.update_layout(
        template="none", height=430, margin={"l": 45, "r": 10, "t": 40, "b": 50}, hovermode="closest",
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK}, legend={"orientation": "v"},
    )  # fmt: skip
    return figure


def _trace(curve: Curve, quantity: str, score: str, legend: bool) -> go.Scatter:
    known = (point for point in curve.points if quantity in point.x and score in point.y)
    points = sorted(known, key=lambda point: point.x[quantity])
    rates = [point.y[score] for point in points]
    colour, marker = style_of(curve.method)
    symbol = SYMBOLS[marker] + ("-open" if METHODS[curve.method].continues else "")
    bars: dict[str, Any] = {
        "array": [rate.reach[1] for rate in rates],
        "arrayminus": [rate.reach[0] for rate in rates],
        "thickness": 1,
        "width": 0,
    }
    return go.Scatter(
        x=[point.x[quantity] for point in points],
        y=[rate.mean for rate in rates],
        error_y=bars,
        name=curve.label,
        legendgroup=curve.method,
        showlegend=legend,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": symbol, "size": 8},
        customdata=[
            [100 * point.sparsity, bracket(rate, "{:.2f}".format)] for point, rate in zip(points, rates, strict=True)
        ],
        hovertemplate=(
            "%{fullData.name} at %{customdata[0]:.0f} %<br>"
            f"{title_of([curve], score)} %{{y:.2f}} %{{customdata[1]}}<br>"
            f"{title_of([curve], quantity)} %{{x:.3g}}<extra></extra>"
        ),
    )


def _embed(curves: Sequence[Curve], quantity: str) -> str:
    """A heading and the figure, for a page that has loaded Plotly's script."""
    name, config = file_of(curves, quantity), {"responsive": True, "displaylogo": False}
    figure = plot_curves(curves, quantity)
    plot = figure.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    return f"<h2>Against {html.escape(title_of(curves, quantity))}</h2>\n{plot}"
