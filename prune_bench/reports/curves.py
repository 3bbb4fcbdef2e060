"""Error rate against size and against speed, one curve a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prune_bench.pruning.methods import METHODS
from prune_bench.reports.results import Cell, Estimate, Results
from prune_bench.reports.styles import METHOD_STYLES, SETTINGS, save, spread

SPLITS = ("test-clean", "test-other")
AXES = {
    "size": "block weights, millions",
    "rtf": "encoder RTF, eager PyTorch",
    "rtf.onnx": "encoder RTF, ONNX Runtime",
}


@dataclass(frozen=True)
class Point:
    """One entry of a table: `x` holds the known quantities of AXES, `y` the error rates of SPLITS."""

    sparsity: float
    x: dict[str, float]
    y: dict[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """The points of a method by sparsity; a reference that is not pruned has one."""

    method: str
    points: list[Point]

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
            x = {quantity: results.estimate(quantity, cell) for quantity in AXES}
            y = {split: results.estimate(f"wer.{split}", cell) for split in SPLITS}
            known = {quantity: estimate.mean for quantity, estimate in x.items() if estimate}
            points.append(Point(cell.sparsity, known, {split: estimate for split, estimate in y.items() if estimate}))
        if points:
            curves.append(Curve(method, points))
    return curves


def draw_all(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Write `wer-size`, `wer-rtf` and `wer-rtf-onnx` as PNG and SVG, each once it has a point."""
    paths: list[Path] = []
    for quantity in AXES:
        if any(quantity in point.x for curve in curves for point in curve.points):
            paths += save(draw_curves(curves, quantity), folder / f"wer-{quantity.replace('.', '-')}")
    return paths


def draw_curves(curves: Sequence[Curve], quantity: str) -> Figure:
    """A panel for each split; the error rate's axis is logarithmic, bars are 95 % intervals."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10, 4.3), layout="constrained")
        for axes, split in zip(figure.subplots(1, len(SPLITS)), SPLITS, strict=True):
            axes.set_title(f"{split}, WER %", pad=10)
            axes.set_xlabel(AXES[quantity])
            _draw_panel(axes, [curve for curve in curves if any(quantity in p.x for p in curve.points)], quantity, split)
    return figure


def _draw_panel(axes: Axes, curves: Sequence[Curve], quantity: str, split: str) -> None:
    ends = {}
    for curve in curves:
        colour, marker = METHOD_STYLES[curve.method]
        found = sorted((point.x[quantity], point.y[split]) for point in curve.points if quantity in point.x)
        x, rates = zip(*found, strict=True)
        y = [rate.mean for rate in rates]
        bars = [[abs(rate.mean - (getattr(rate, side))) for rate in rates] for side in ("low", "high")]
        face = "white" if curve.method == "continue_ft" else colour
        axes.errorbar(x, y, bars, color=colour, elinewidth=0.8, linewidth=1.6, marker=marker, markersize=5, mfc=face)
        ends[curve] = (x[0], y[0])
    _scale(axes)
    _label(axes, [curve for curve in curves if len(curve.points) > 1], ends, side="right", offset=-8)
    _label(axes, [curve for curve in curves if len(curve.points) == 1], ends, side="left", offset=8)


def _scale(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, and room for names at both sides."""
    axes.set_yscale("log")
    axes.margins(y=0.06)
    low, high = axes.get_ylim()
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 12 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(-2, 3) for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    left, right = axes.get_xlim()
    axes.set_xlim(left - 0.2 * (right - left), right + 0.22 * (right - left))


def _label(axes: Axes, curves: Sequence[Curve], ends: dict, side: str, offset: int) -> None:
    """Names in the colours of their curves, beside the leftmost point and clear of each other."""
    to_fraction = axes.transData + axes.transAxes.inverted()
    places = [to_fraction.transform(ends[curve]) for curve in curves]
    for curve, (x, _), height in zip(curves, places, spread([y for _, y in places], 0.06), strict=True):
        axes.annotate(
            curve.label, (x, height), xycoords="axes fraction", xytext=(offset, 0), textcoords="offset points",
            ha=side, va="center", color=METHOD_STYLES[curve.method][0], size=8.5,
        )  # fmt: skip
