"""What pruning kept, layer by layer: retained ratio by module, and hidden dimensions for each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from prune_bench.families import Row
from prune_bench.families.transducer.retained import hidden_widths, retained
from prune_bench.files import write_text
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.notes import describe_unfinished
from prune_bench.reports.pages.sheets import MISSING, Heading, Sheet, to_csv, to_markdown, to_text
from prune_bench.reports.pages.styles import FAINT, MODULE_STYLES, SETTINGS, label_right, save
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Results, Timing

MODULES = {"ffn": "FFN", "attention": "attention", "conv": "conv", "all": "all"}
Layers = list[tuple[float, float, float]]  # mean, lowest and highest seed of each layer


@dataclass(frozen=True)
class LayerFigure:
    """Two panels for one method: (a) retained ratio at the sparsity `shown`, (b) hidden dimensions at every sparsity.

    `published` are the facts that a paper states about its own figure.
    """

    name: str
    title: str
    published: tuple[str, ...]
    method: str = "l0_sparsity"
    shown: float = 0.5
    sparsities: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5)
    extended: tuple[float, ...] = (0.7, 0.85)
    timed: bool = False
    compared: bool = False
    task: str = "transducer"

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run for this figure. It has no references: each row knows its dense model's widths."""
        sparsities = self.sparsities + (self.extended if extended else ())
        return [{"method": self.method, "sparsity": sparsity} for sparsity in sparsities]

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        """The figure's numbers for a terminal of `width` characters. Rows may be incomplete."""
        return to_text(self.sheet(Results(rows, timing)), width)

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        """Write the figure as PNG and SVG, and its numbers as Markdown and CSV; returns their paths.

        Raises ValueError for rows that one figure must not mix.
        """
        results = Results(rows, timing)
        sheet = self.sheet(results)
        return [
            *save(self.draw(results), folder / self.name),
            write_text(folder / f"{self.name}.md", to_markdown(sheet)),
            write_text(folder / f"{self.name}.csv", to_csv(sheet)),
        ]

    def sheet(self, results: Results) -> Sheet:
        """Both panels as numbers, a line for each layer; means over seeds."""
        ratios, widths, dense = self._ratios(results), self._widths(results), self._dense(results)
        headings = [
            Heading("layer"),
            *(Heading(name, f"kept at {100 * self.shown:g} %, %") for name in MODULES.values()),
            Heading("dense", "hidden dimensions"),
            *(Heading(f"{100 * sparsity:g} %", "hidden dimensions") for sparsity in widths),
        ]
        lines = []
        for i, width in enumerate(dense):
            kept = [f"{100 * ratios[module][i][0]:.1f}" if ratios else MISSING for module in MODULES]
            lines.append([str(i + 1), *kept, f"{width:g}", *(f"{layers[i][0]:.4g}" for layers in widths.values())])
        cells = [Cell(self.method, sparsity) for sparsity in self.sparsities + self.extended]
        notes = [self._origin(results), *self.published, *describe_unfinished(results, cells)]
        return Sheet(self.title, headings, [lines], notes)

    def draw(self, results: Results) -> Figure:
        """Lines are means over seeds, bars span the seeds."""
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(10, 4.0), layout="constrained")
            left, right = figure.subplots(1, 2)
            left.set_title(f"(a) weights kept at {100 * self.shown:g} %", pad=10)
            right.set_title("(b) hidden dimensions kept", pad=10)
            draw_modules(left, self._ratios(results))
            draw_widths(right, self._widths(results), self._dense(results))
        return figure

    def _ratios(self, results: Results) -> dict[str, Layers]:
        kept = [retained(row) for row in results.runs.get(Cell(self.method, self.shown), {}).values()]
        return {module: over_seeds([by_module[module] for by_module in kept]) for module in MODULES} if kept else {}

    def _widths(self, results: Results) -> dict[float, Layers]:
        runs_at = {s: results.runs.get(Cell(self.method, s), {}) for s in self.sparsities + self.extended}
        return {s: over_seeds([hidden_widths(row) for row in runs.values()]) for s, runs in runs_at.items() if runs}

    def _dense(self, results: Results) -> list[int]:
        return hidden_widths(results.done[0], "dense_layers") if results.done else []

    def _origin(self, results: Results) -> str:
        if not results.done:
            return "No run has finished yet."
        row = results.done[0]
        seeds = ", ".join(map(str, results.seeds))
        return f"{METHODS[self.method].label}; corpus {row['corpus']}, preset {row['preset']}, seeds {seeds}."


def over_seeds(layers: Sequence[Sequence[float]]) -> Layers:
    """Mean, lowest and highest value of each layer."""
    return [(sum(values) / len(values), min(values), max(values)) for values in zip(*layers, strict=True)]


def draw_modules(axes: Axes, ratios: Mapping[str, Layers]) -> None:
    """Retained ratio by layer, a line for each module."""
    ends = []
    for module, layers in ratios.items():
        colour, marker = MODULE_STYLES[module]
        bold = {"linewidth": 2.4, "zorder": 1, "linestyle": (0, (4, 1.5))} if module == "all" else {"linewidth": 1.6}
        ends.append((MODULES[module], _draw_line(axes, layers, colour, marker=marker, **bold), colour))
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    _finish(axes, ends)


def draw_widths(axes: Axes, widths: Mapping[float, Layers], dense: Sequence[int]) -> None:
    """Hidden dimensions by layer, a line for each target, darker the more is removed."""
    shades = matplotlib.colormaps["Blues"]
    ends = []
    if dense:
        axes.plot(range(1, len(dense) + 1), dense, color=FAINT, linewidth=1, linestyle=(0, (1, 1.5)))
        ends.append(("dense", float(dense[-1]), FAINT))
    for i, (sparsity, layers) in enumerate(widths.items()):
        colour = matplotlib.colors.to_hex(shades(0.45 + 0.55 * i / max(1, len(widths) - 1)))
        ends.append((f"{100 * sparsity:g} %", _draw_line(axes, layers, colour, marker="o"), colour))
    _finish(axes, ends)


def _draw_line(axes: Axes, layers: Layers, colour: str, **style: Any) -> float:
    """Draw one line with bars that span the seeds; returns the height of its right end."""
    numbers = range(1, len(layers) + 1)
    mean, low, high = zip(*layers, strict=True)
    axes.vlines(numbers, low, high, color=colour, linewidth=0.8, alpha=0.6)
    axes.plot(numbers, mean, color=colour, markersize=5, **style)
    return mean[-1]


def _finish(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_right(axes, ends)


def draw_sheet(sheet: Sheet, width: int = 160) -> Figure:
    """A table as a picture of at most `width` characters, where its optional columns allow that."""
    lines = to_text(sheet, width).splitlines()
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(0.064 * max(map(len, lines)), 0.158 * len(lines)))
        figure.text(0, 1, "\n".join(lines), family="DejaVu Sans Mono", size=7.6, va="top", linespacing=1.25)
    return figure
