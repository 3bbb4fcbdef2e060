"""Error rate against size and against speed, one curve a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.styles import SETTINGS, label_right, save, style_of
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Estimate, Results

SPLITS = ("test-clean", "test-other")
AXES = {
    "size": "block weights, millions",
    "rtf": "encoder RTF, eager PyTorch",
    "rtf.onnx": "encoder RTF, ONNX Runtime",
}
# Where a logarithmic axis has ticks between powers of ten, by the ratio of its ends.
STEPS = {
    2.5: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    8: (1, 1.5, 2, 3, 4, 5, 6, 8),
    float("inf"): (1, 2, 5),
}


@dataclass(frozen=True)
class CurvePoint:
    """One entry of a table: `x` holds the known quantities of AXES, `y` the error rates of SPLITS."""

    sparsity: float
    x: dict[str, float]
    y: dict[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """The points of a method by sparsity; a reference that is not pruned has one."""

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
            x = {quantity: results.estimate(quantity, cell) for quantity in AXES}
            y = {split: results.estimate(f"wer.{split}", cell) for split in SPLITS}
            known = {quantity: estimate.mean for quantity, estimate in x.items() if estimate}
            points.append(
                CurvePoint(cell.sparsity, known, {split: estimate for split, estimate in y.items() if estimate})
            )
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
    """A panel for each split: more pruning to the right, error rate on a logarithmic axis with 95 % intervals."""
    with matplotlib.rc_context(SETTINGS):
        known = [curve for curve in curves if any(quantity in point.x for point in curve.points)]
        longest = max(len(curve.label) for curve in known)
        figure = Figure(figsize=(8 + 0.12 * longest, 4.3), layout="constrained")
        for axes, split in zip(figure.subplots(1, len(SPLITS)), SPLITS, strict=True):
            axes.set_title(f"{split}, WER %", pad=10)
            axes.set_xlabel(describe_axis(quantity))
            _draw_panel(axes, known, quantity, split)
    return figure


def describe_axis(quantity: str) -> str:
    """The name of an axis that runs from large to small."""
    return f"{AXES[quantity]} ({'smaller' if quantity == 'size' else 'faster'} \N{RIGHTWARDS ARROW})"


def _draw_panel(axes: Axes, curves: Sequence[Curve], quantity: str, split: str) -> None:
    ends = []
    for curve in curves:
        colour, marker = style_of(curve.method)
        found = sorted((point.x[quantity], point.y[split]) for point in curve.points if quantity in point.x)
        x, rates = zip(*found, strict=True)
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
    axes.set_yscale("log")
    axes.margins(y=0.06)
    low, high = axes.dataLim.intervaly
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
