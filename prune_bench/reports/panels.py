"""A quantity against the asked sparsity, one line a method, in one or several panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prune_bench.pruning.methods import METHODS
from prune_bench.reports import notes
from prune_bench.reports.cells import Cell, Setting
from prune_bench.reports.drawings import Drawing
from prune_bench.reports.results import Estimate, Results
from prune_bench.reports.sheets import MISSING, Heading, Sheet
from prune_bench.reports.styles import METHOD_STYLES, SETTINGS, label_right
from prune_bench.reports.tables import keys_of

WIDTH, HEIGHT = 3.9, 3.8


@dataclass(frozen=True)
class Panel:
    """One quantity in one setting; `bottom` and `top` bound its axis where they are given."""

    title: str
    quantity: str
    setting: Setting = ()
    digits: int = 1
    bottom: float | None = None
    top: float | None = None


@dataclass(frozen=True)
class SparsityFigure(Drawing):
    """`methods` at each of `sparsities`, and references that are not pruned as level lines, in every panel.

    `published` are the facts that a paper states about its own figure, `setting` what it was measured on; `fixed` holds
    what all runs share.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    methods: tuple[str, ...]
    published: tuple[str, ...]
    setting: str
    sparsities: tuple[float, ...]
    extended: tuple[float, ...] = ()
    references: tuple[str, ...] = ("dense",)
    fixed: Setting = ()
    timed: bool = False
    compared: bool = False
    task: str = "ctc"

    @property
    def by(self) -> tuple[str, ...]:
        """The keys that tell the panels' settings apart."""
        return keys_of(panel.setting for panel in self.panels)

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run for this figure, as overrides of a configuration."""
        cells = (cell for panel in self.panels for cell in self.cells(panel, extended))
        return [{**cell.overrides(), **dict(self.fixed)} for cell in dict.fromkeys(cells)]

    def cells(self, panel: Panel, extended: bool = True) -> list[Cell]:
        """The references of a panel, then its methods by sparsity."""
        sparsities = sorted(self.sparsities + (self.extended if extended else ()))
        lines = [(method, 0.0) for method in self.references]
        lines += [(method, sparsity) for method in self.methods for sparsity in sparsities]
        return [Cell.of(*line, panel.setting) for line in lines]

    def sheet(self, results: Results) -> Sheet:
        """One line for each method and sparsity that has a run, one column a panel."""
        headings = [Heading("%"), Heading("method"), *(Heading(panel.title) for panel in self.panels)]
        blocks = []
        for method in (*self.references, *self.methods):
            sparsities = [0.0] if method in self.references else sorted(self.sparsities + self.extended)
            lines = [self._line(results, method, sparsity) for sparsity in sparsities]
            blocks.append([line for line in lines if any(cell != MISSING for cell in line[2:])])
        below = [
            *notes.describe_runs(results, self.setting, any(p.quantity.startswith("wer.") for p in self.panels)),
            *self.published,
            *notes.describe_unfinished(results, list(results.unfinished)),
        ]
        return Sheet(self.title, headings, [block for block in blocks if block], below)

    def _line(self, results: Results, method: str, sparsity: float) -> list[str]:
        found = [results.estimate(panel.quantity, Cell.of(method, sparsity, panel.setting)) for panel in self.panels]
        cells = [_shown(estimate, panel.digits) for estimate, panel in zip(found, self.panels, strict=True)]
        return [f"{100 * sparsity:g}", METHODS[method].label, *cells]

    def draw(self, results: Results) -> Figure:
        """Panels side by side, three in a row; bars are 95 % intervals."""
        columns = min(3, len(self.panels))
        rows = -(-len(self.panels) // columns)
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(WIDTH * columns + 1, HEIGHT * rows), layout="constrained")
            for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, self.panels, strict=False):
                axes.set_title(panel.title, pad=10)
                axes.set_xlabel("removed, %")
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
                self._draw_panel(axes, panel, results)
        return figure

    def _draw_panel(self, axes: Axes, panel: Panel, results: Results) -> None:
        ends = []
        for method, points in self.points(panel, results).items():
            colour, marker = METHOD_STYLES[method]
            x, estimates = [100 * sparsity for sparsity in points], list(points.values())
            y = [estimate.mean for estimate in estimates]
            if method in self.references:
                axes.axhline(y[0], color=colour, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
            else:
                bars = [[_reach(one, side) for one in estimates] for side in ("low", "high")]
                axes.errorbar(x, y, bars, color=colour, elinewidth=0.8, linewidth=1.6, marker=marker, markersize=5)
            ends.append((METHODS[method].label, y[-1], colour))
        axes.set_ylim(panel.bottom, panel.top)
        label_right(axes, ends)

    def points(self, panel: Panel, results: Results) -> Mapping[str, dict[float, Estimate]]:
        """What is known of a panel: by method and sparsity."""
        found: dict[str, dict[float, Estimate]] = {}
        for cell in self.cells(panel):
            if estimate := results.estimate(panel.quantity, cell):
                found.setdefault(cell.method, {})[cell.sparsity] = estimate
        return found


def _shown(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return MISSING
    if estimate.low is None:
        return f"{estimate.mean:.{digits}f}"
    return f"{estimate.mean:.{digits}f}\t[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _reach(estimate: Estimate, side: str) -> float:
    """How far the interval reaches to one side of the mean."""
    bound = getattr(estimate, side)
    return 0.0 if bound is None else abs(estimate.mean - bound)
