"""Error rates and perplexities by how frequent a sentence's words are in the training text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_bench.reports import notes
from prune_bench.reports.cells import Cell, Setting
from prune_bench.reports.counts import PARTS
from prune_bench.reports.drawings import Drawing
from prune_bench.reports.panels import reach, shown
from prune_bench.reports.results import Results
from prune_bench.reports.sheets import Heading, Sheet
from prune_bench.reports.styles import LINE_STYLES, SETTINGS

WIDTH, HEIGHT, SPREAD = 4.0, 3.8, 0.7


@dataclass(frozen=True)
class PercentileFigure(Drawing):
    """`quantities` by title, a panel each, in the rarest, the middle and the most frequent part; `lines` by name.

    A line's style is that of the name in `styles`. `published` are a paper's facts about its figure, `setting` what it
    was measured on; `fixed` holds what all runs share.
    """

    name: str
    title: str
    quantities: Mapping[str, str]
    lines: Mapping[str, Cell]
    styles: Mapping[str, str]
    published: tuple[str, ...]
    setting: str
    fixed: Setting = ()
    timed: bool = False
    compared: bool = False
    task: str = "language_model"

    @property
    def wanted(self) -> tuple[Cell, ...]:
        return tuple(self.lines.values())

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
            for name, cell in self.lines.items()
            if results.members(cell)
        ]
        below = [
            *notes.describe_runs(results, self.setting),
            "Sentences by the mean logarithm of how often their words occur in the training text: "
            + ", ".join(f"{part} from {low} to {high} %" for part, (low, high) in PARTS.items())
            + ", the rarest first.",
            *self.published,
            *notes.describe_unfinished(results, list(self.lines.values())),
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
        """The first line of a style is filled, the others are hollow."""
        drawn: set[str] = set()
        for i, (name, cell) in enumerate(self.lines.items()):
            found = [results.estimate(f"{quantity}.{part}", cell) for part in PARTS]
            known = [estimate for estimate in found if estimate]
            if len(known) == len(PARTS):
                colour, marker = LINE_STYLES[self.styles[name]]
                x = [place + SPREAD * ((i + 0.5) / len(self.lines) - 0.5) for place in range(len(PARTS))]
                bars = [[reach(one, side) for one in known] for side in ("low", "high")]
                y, face = [one.mean for one in known], "white" if self.styles[name] in drawn else colour
                axes.errorbar(
                    x, y, bars, color=colour, elinewidth=0.8, linewidth=0, marker=marker, mfc=face, label=name
                )
                drawn.add(self.styles[name])
        axes.set_xticks(range(len(PARTS)), list(PARTS))
        axes.set_xlabel("frequency of the words")
