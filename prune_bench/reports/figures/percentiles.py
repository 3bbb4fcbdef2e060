"""Error rates and perplexities by how frequent a sentence's words are in the training text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_bench.families.counts import PARTS
from prune_bench.reports.figures.panels import Line, shown
from prune_bench.reports.pages import notes
from prune_bench.reports.pages.drawings import Drawing
from prune_bench.reports.pages.sheets import Heading, Sheet
from prune_bench.reports.pages.styles import SETTINGS
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Results

WIDTH, HEIGHT, SPREAD = 4.0, 3.8, 0.7


@dataclass(frozen=True, kw_only=True)
class PercentileFigure(Drawing):
    """`quantities` by title, a panel each, in the rarest, the middle and the most frequent part; `lines` with sizes."""

    quantities: Mapping[str, str]
    lines: tuple[tuple[Line, float], ...]

    @property
    def wanted(self) -> tuple[Cell, ...]:
        return tuple(self.cells.values())

    @property
    def cells(self) -> dict[str, Cell]:
        """The runs by name."""
        return {name_of(line, size): Cell.of(line.method, size, line.setting) for line, size in self.lines}

    def sheet(self, results: Results) -> Sheet:
        """One line a model, three columns a quantity."""
        headings = [Heading("model"), *(Heading(part, title) for title in self.quantities for part in PARTS)]
        lines = [
            [
                name,
                *(
                    shown(results.estimate(f"{one}.{part}", cell), 2)
                    for one in self.quantities.values()
                    for part in PARTS
                ),
            ]
            for name, cell in self.cells.items()
            if results.members(cell)
        ]
        below = [
            *notes.describe_runs(results, self.setting),
            "Sentences by the mean logarithm of how often their words occur in the training text: "
            + ", ".join(f"{part} from {low} to {high} %" for part, (low, high) in PARTS.items())
            + ", the rarest first.",
            *self.published,
            *notes.describe_unfinished(results, self.wanted),
        ]
        return Sheet(self.title, headings, [lines], below)

    def draw(self, results: Results) -> Figure:
        """A panel a quantity; bars are 95 % intervals."""
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(WIDTH * len(self.quantities), HEIGHT), layout="constrained")
            panels = figure.subplots(1, len(self.quantities), squeeze=False)[0]
            for axes, (title, quantity) in zip(panels, self.quantities.items(), strict=True):
                axes.set_title(title, pad=10)
                self._draw_panel(axes, quantity, results)
            handles, names = panels[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
        return figure

    def _draw_panel(self, axes: Axes, quantity: str, results: Results) -> None:
        """The first size of a line is filled, the others are hollow."""
        drawn: set[str] = set()
        for i, (line, size) in enumerate(self.lines):
            name = name_of(line, size)
            estimates = [results.estimate(f"{quantity}.{part}", self.cells[name]) for part in PARTS]
            known = [estimate for estimate in estimates if estimate]
            if len(known) == len(PARTS):
                colour, marker = line.style
                x = [place + SPREAD * ((i + 0.5) / len(self.lines) - 0.5) for place in range(len(PARTS))]
                bars = list(zip(*(estimate.reach for estimate in known), strict=True))
                y, face = [estimate.mean for estimate in known], "white" if line.label in drawn else colour
                axes.errorbar(
                    x, y, bars, color=colour, elinewidth=0.8, linewidth=0, marker=marker, mfc=face, label=name
                )
                drawn.add(line.label)
        axes.set_xticks(range(len(PARTS)), list(PARTS))
        axes.set_xlabel("frequency of the words")


def name_of(line: Line, size: float) -> str:
    """A line at a sparsity, in words."""
    return f"{line.label} {100 * size:g} %" if size else line.label
