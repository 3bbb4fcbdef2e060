"""A quantity against what was removed, or against what is left, one line a method, in one or several panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prune_bench.families import find_quantity
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.figures.curves import number_plainly
from prune_bench.reports.pages import notes
from prune_bench.reports.pages.drawings import Drawing
from prune_bench.reports.pages.sheets import MISSING, Heading, Sheet, bracket
from prune_bench.reports.pages.styles import FAINT, SETTINGS, label_right, style_of
from prune_bench.reports.rows.cells import DENSE, Cell, Setting
from prune_bench.reports.rows.results import Estimate, Results

WIDTH, HEIGHT = 3.9, 3.8
REMOVED = "removed, %"


@dataclass(frozen=True)
class Line:
    """One curve of each panel: a method, in a setting of its own beside the panel's, under a `name` of its own.

    `sparsities` are given where they are not the figure's; `extended` ones follow on request.
    """

    method: str
    setting: Setting = ()
    name: str = ""
    sparsities: tuple[float, ...] = ()
    extended: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        return self.name or METHODS[self.method].label

    @property
    def style(self) -> tuple[str, str]:
        return style_of(self.name or self.method)


@dataclass(frozen=True)
class Panel:
    """One quantity in one setting; `bottom` and `top` bound its axis where they are given.

    It is drawn `against` another quantity, on a logarithmic axis, or with none against the asked sparsity, and is on
    such an axis itself if it is `logarithmic`. `levels` are names and quantities of the dense model that level lines
    show.
    """

    title: str
    quantity: str
    setting: Setting = ()
    digits: int = 1
    bottom: float | None = None
    top: float | None = None
    against: str = ""
    levels: tuple[tuple[str, str], ...] = ()
    logarithmic: bool = False


class PanelPoint(NamedTuple):
    """Where a run stands in a panel."""

    x: float
    y: Estimate


@dataclass(frozen=True, kw_only=True)
class CurveFigure(Drawing):
    """`methods` at each of `sparsities`, and references that are not pruned as level lines, in every panel.

    `lines` take the place of methods where these alone do not tell the curves apart.
    """

    panels: tuple[Panel, ...]
    sparsities: tuple[float, ...]
    methods: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    references: tuple[str, ...] = ("dense",)

    @property
    def wanted(self) -> tuple[Cell, ...]:
        return self.swept(extended=True)

    def swept(self, extended: bool) -> tuple[Cell, ...]:
        """The points of all panels, each once."""
        points = [(line, sparsity) for line in self.curves for sparsity in self.asked(line, extended)]
        return tuple(dict.fromkeys(cell_at(panel, *point) for panel in self.panels for point in points))

    @property
    def curves(self) -> tuple[Line, ...]:
        """The references, then what is pruned."""
        return tuple(map(Line, self.references)) + (self.lines or tuple(map(Line, self.methods)))

    def asked(self, line: Line, extended: bool = True) -> list[float]:
        """The sparsities of a line."""
        if line.method in self.references:
            return [0.0]
        return sorted((line.sparsities or self.sparsities) + (line.extended if extended else ()))

    def sheet(self, results: Results) -> Sheet:
        """One line for each curve and sparsity that has a run, one column a panel, behind what it is against."""
        columns = self._columns()
        headings = [Heading("%"), Heading("method"), *(heading for heading, _, _ in columns)]
        blocks = [self._levels(results)]
        for line in self.curves:
            filled = [(sparsity, self._fill(results, line, sparsity)) for sparsity in self.asked(line)]
            blocks.append([[f"{100 * s:g}", line.label, *cells] for s, cells in filled if set(cells) != {MISSING}])
        below = [
            *notes.describe_runs(results, self.setting, self._shows("wer."), bounded=self._shows("wer.", "ppl.")),
            *self.published,
            *notes.describe_unfinished(results, list(results.unfinished)),
        ]
        return Sheet(self.title, headings, [block for block in blocks if block], below)

    def _shows(self, *kinds: str) -> bool:
        return any(panel.quantity.startswith(kinds) for panel in self.panels)

    def _columns(self) -> list[tuple[Heading, Panel, str]]:
        """What each panel is drawn against, once a setting, and its quantity."""
        columns, given = [], set()
        for panel in self.panels:
            axis = panel.against, panel.setting
            if panel.against and axis not in given:
                heading = Heading(self._axis(panel).partition(",")[0] + ", M", panel.title.partition(",")[0], drop=1)
                columns.append((heading, panel, panel.against))
            given.add(axis)
            columns.append((Heading(panel.title), panel, panel.quantity))
        return columns

    def _axis(self, panel: Panel) -> str:
        """What a panel is drawn against."""
        if not panel.against:
            return REMOVED
        quantity, which = find_quantity(panel.against, [self.task])
        return quantity.label(which)

    def _fill(self, results: Results, line: Line, sparsity: float) -> list[str]:
        cells = []
        for _, panel, quantity in self._columns():
            digits = panel.digits if quantity == panel.quantity else 3
            cells.append(shown(results.estimate(quantity, cell_at(panel, line, sparsity)), digits))
        return cells

    def _levels(self, results: Results) -> list[list[str]]:
        lines = []
        for name in dict.fromkeys(name for panel in self.panels for name, _ in panel.levels):
            cells = [
                shown(_level(results, panel, name), panel.digits) if quantity == panel.quantity else MISSING
                for _, panel, quantity in self._columns()
            ]
            if set(cells) != {MISSING}:
                lines.append([MISSING, name, *cells])
        return lines

    def draw(self, results: Results) -> Figure:
        """Panels side by side, at most three in a row; bars are 95 % intervals."""
        rows = -(-len(self.panels) // 3)
        columns = -(-len(self.panels) // rows)
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(WIDTH * columns + 1, HEIGHT * rows), layout="constrained")
            for number, panel in enumerate(self.panels, start=1):
                axes = figure.add_subplot(rows, columns, number)
                axes.set_title(panel.title, pad=10)
                axes.set_xlabel(self._axis(panel))
                self._draw_panel(axes, panel, results)
        return figure

    def _draw_panel(self, axes: Axes, panel: Panel, results: Results) -> None:
        ends = []
        for name, _ in panel.levels:
            if level := _level(results, panel, name):
                axes.axhline(level.mean, color=FAINT, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
                ends.append((name, level.mean, FAINT))
        for line, points in self.points(panel, results).items():
            colour, marker = line.style
            x, estimates = zip(*points.values(), strict=True)
            y = [estimate.mean for estimate in estimates]
            if line.method in self.references:
                axes.axhline(y[0], color=colour, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
            if line.method not in self.references or panel.against:
                bars = list(zip(*(estimate.reach for estimate in estimates), strict=True))
                axes.errorbar(x, y, bars, color=colour, elinewidth=0.8, linewidth=1.6, marker=marker, markersize=5)
            ends.append((line.label, y[-1], colour))
        _scale(axes, panel)
        axes.set_ylim(panel.bottom, panel.top)
        label_right(axes, ends)

    def points(self, panel: Panel, results: Results) -> Mapping[Line, dict[float, PanelPoint]]:
        """What is known of a panel: by line and sparsity."""
        points: dict[Line, dict[float, PanelPoint]] = {}
        for line in self.curves:
            for cell in (cell_at(panel, line, sparsity) for sparsity in self.asked(line)):
                y = results.estimate(panel.quantity, cell)
                x = results.estimate(panel.against, cell) if panel.against else Estimate(100 * cell.sparsity)
                if x and y:
                    points.setdefault(line, {})[cell.sparsity] = PanelPoint(x.mean, y)
        return points


def cell_at(panel: Panel, line: Line, sparsity: float) -> Cell:
    """The cell of a line in a panel."""
    return Cell.of(line.method, sparsity, tuple(sorted((*panel.setting, *line.setting))))


def _level(results: Results, panel: Panel, name: str) -> Estimate | None:
    quantity = dict(panel.levels).get(name)
    return results.estimate(quantity, DENSE) if quantity else None


def _scale(axes: Axes, panel: Panel) -> None:
    """Removed per cent to the right; a quantity from large to small, on a logarithmic axis."""
    if panel.logarithmic and axes.has_data():
        axes.set_yscale("log")
        number_plainly(axes.yaxis)
    if not panel.against:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    elif axes.has_data():
        axes.set_xscale("log")
        axes.invert_xaxis()
        number_plainly(axes.xaxis)


def shown(estimate: Estimate | None, digits: int) -> str:
    """A number with its interval where one is known."""
    if estimate is None:
        return MISSING
    number = f"{{:.{digits}f}}".format
    return "\t".join(filter(None, (number(estimate.mean), bracket(estimate, number))))
