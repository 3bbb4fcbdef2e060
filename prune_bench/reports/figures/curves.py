"""How good models are against their size and speed, one curve a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from prune_bench.families import find_quantity
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.styles import SETTINGS, label_right, save, style_of
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Estimate, Results

# Where a logarithmic axis has ticks between powers of ten, by the ratio of its ends.
STEPS = {
    2.5: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    8: (1, 1.5, 2, 3, 4, 5, 6, 8),
    float("inf"): (1, 2, 5),
}


@dataclass(frozen=True)
class CurvePoint:
    """One entry of a table: what is known of its family's axes and scores, by name."""

    sparsity: float
    x: dict[str, float]
    y: dict[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """The points of a method by sparsity; a reference that is not pruned has one. `task` is their family."""

    task: str
    method: str
    points: list[CurvePoint]

    @property
    def label(self) -> str:
        return METHODS[self.method].label


def collect_curves(cells: Sequence[Cell], results: Results) -> list[Curve]:
    """The finished cells as curves, in the order of their methods."""
    curves = []
    for method in dict.fromkeys(cell.method for cell in cells):
        finished = sorted(cell for cell in cells if cell.method == method and cell in results.runs)
        points = []
        for cell in finished:
            x = {name: results.estimate(name, cell) for name in results.family.axes}
            y = {name: results.estimate(name, cell) for name in results.expand(results.family.scores)}
            known = {name: estimate.mean for name, estimate in x.items() if estimate}
            points.append(CurvePoint(cell.sparsity, known, {name: one for name, one in y.items() if one}))
        if points:
            curves.append(Curve(results.family.name, method, points))
    return curves


def axes_of(curves: Sequence[Curve]) -> list[str]:
    """The quantities that curves with a score can be drawn against."""
    return list(dict.fromkeys(name for curve in curves for point in curve.points if point.y for name in point.x))


def scores_of(curves: Sequence[Curve]) -> list[str]:
    """The quantities that they show."""
    return list(dict.fromkeys(name for curve in curves for point in curve.points for name in point.y))


def title_of(curves: Sequence[Curve], quantity: str) -> str:
    """What the curves' family calls a quantity."""
    found, which = find_quantity(quantity, [curves[0].task])
    return found.label(which)


def file_of(curves: Sequence[Curve], quantity: str) -> str:
    """The name of a figure, as in `wer-rtf-onnx`."""
    return f"{scores_of(curves)[0].partition('.')[0]}-{quantity.replace('.', '-')}"


def draw_all(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Write the scores against each axis that has a point, `wer-size` and so on, as PNG and SVG."""
    return [
        path
        for quantity in axes_of(curves)
        for path in save(draw_curves(curves, quantity), folder / file_of(curves, quantity))
    ]


def draw_curves(curves: Sequence[Curve], quantity: str) -> Figure:
    """A panel for each score, on a logarithmic axis with 95 % intervals; more pruning is to the right."""
    with matplotlib.rc_context(SETTINGS):
        known = [curve for curve in curves if any(quantity in point.x for point in curve.points)]
        longest = max(len(curve.label) for curve in known)
        scores = scores_of(curves)
        figure = Figure(figsize=(4 * len(scores) + 0.12 * longest, 4.3), layout="constrained")
        for axes, score in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores, strict=True):
            axes.set_title(title_of(curves, score), pad=10)
            axes.set_xlabel(describe_axis(curves, quantity))
            _draw_panel(axes, known, quantity, score)
    return figure


def describe_axis(curves: Sequence[Curve], quantity: str) -> str:
    """The name of an axis that runs from large to small."""
    less = find_quantity(quantity, [curves[0].task])[0].less
    return f"{title_of(curves, quantity)} ({less} \N{RIGHTWARDS ARROW})"


def _draw_panel(axes: Axes, curves: Sequence[Curve], quantity: str, score: str) -> None:
    ends = []
    for curve in curves:
        colour, marker = style_of(curve.method)
        points = [point for point in curve.points if quantity in point.x and score in point.y]
        if not points:
            continue
        points.sort(key=lambda point: point.x[quantity])
        x, rates = [point.x[quantity] for point in points], [point.y[score] for point in points]
        y = [rate.mean for rate in rates]
        bars = list(zip(*(rate.reach for rate in rates), strict=True))
        face = "white" if METHODS[curve.method].continues else colour
        axes.errorbar(x, y, bars, color=colour, elinewidth=0.8, linewidth=1.6, marker=marker, markersize=5, mfc=face)
        if not METHODS[curve.method].removes and len(curve.points) == 1:
            axes.axhline(y[0], color=colour, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        ends.append((curve.label, y[0], colour))
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(y=0.06)
    low, high = axes.dataLim.intervaly
    if low > 0:
        axes.set_yscale("log")
        if low == high:
            axes.set_ylim(low / 1.1, high * 1.1)
        number_plainly(axes.yaxis)
    label_right(axes, ends)


def number_plainly(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis."""
    low, high = sorted(axis.get_view_interval())
    steps = next(steps for ratio, steps in STEPS.items() if high / low < ratio)
    ticks = [step * 10.0**power for power in range(-3, 4) for step in steps]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
