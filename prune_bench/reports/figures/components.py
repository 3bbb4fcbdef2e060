"""What pruning kept of a Transformer, by layer and component: a heat map for each way of pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import matplotlib
from matplotlib.figure import Figure

from prune_bench.families.quantities import Columns
from prune_bench.reports.figures.matrices import Matrix, draw_matrix, number
from prune_bench.reports.pages import notes
from prune_bench.reports.pages.drawings import Drawing
from prune_bench.reports.pages.sheets import Heading, Sheet
from prune_bench.reports.pages.styles import SETTINGS
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Results

ALL, LAYERS = "all", "layers."
WIDTH, HEIGHT = 3.2, 2.6


@dataclass(frozen=True, kw_only=True)
class ComponentFigure(Drawing):
    """Kept fraction of each component (a row) in each layer (a column), with `lines` by title, `across` in a row."""

    lines: Mapping[str, Cell]
    across: int

    @property
    def wanted(self) -> tuple[Cell, ...]:
        return tuple(self.lines.values())

    def sheet(self, results: Results) -> Sheet:
        """One line for each component of each way of pruning."""
        matrices = self.matrices(results)
        columns = list(dict.fromkeys(column for matrix in matrices.values() for _, column in matrix))
        blocks = []
        for title, matrix in matrices.items():
            rows = dict.fromkeys(row for row, _ in matrix)
            blocks.append([[title, row, *(number(matrix, row, column) for column in columns)] for row in rows])
        headings = [Heading("pruned"), Heading("component"), *(Heading(name, "kept in layer") for name in columns)]
        below = [
            *notes.describe_runs(results, self.setting, scored=False),
            *self.published,
            *notes.describe_unfinished(results, list(self.lines.values())),
        ]
        return Sheet(self.title, headings, blocks, below)

    def draw(self, results: Results) -> Figure:
        """The heat maps, darker the more is kept."""
        matrices = self.matrices(results)
        rows = max(1, -(-len(matrices) // self.across))
        with matplotlib.rc_context({**SETTINGS, "axes.grid": False}):
            figure = Figure(figsize=(WIDTH * self.across, HEIGHT * rows), layout="constrained")
            places = list(figure.subplots(rows, self.across, squeeze=False).flat)
            for axes in places:
                axes.set_axis_off()
            for axes, (title, matrix) in zip(places, matrices.items(), strict=False):
                axes.set_axis_on()
                axes.set_title(title, pad=8, size=9)
                components, layers = (list(dict.fromkeys(key[side] for key in matrix)) for side in (0, 1))
                draw_matrix(axes, components, layers, matrix, (0.0, 1.0))
        return figure

    def matrices(self, results: Results) -> dict[str, Matrix]:
        """What each finished way of pruning kept, mean over seeds."""
        kept: dict[str, Matrix] = {}
        for title, cell in self.lines.items():
            runs: Mapping[int, Columns] = results.runs.get(cell, {})
            by_seed = [kept_by_component(row["kept"]) for row in runs.values()]
            if by_seed:
                kept[title] = {place: fmean(values[place] for values in by_seed) for place in by_seed[0]}
        return kept


def kept_by_component(kept: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], float]:
    """Kept fraction by (component, layer), of a component in `all` layers, and of all of them."""
    sizes: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, (fraction, size) in kept.items():
        path = name.removesuffix(".weight").removeprefix(LAYERS)
        layer, _, component = path.partition(".") if name.startswith(LAYERS) else ("", "", path)
        counts = fraction * size, size
        places = [(component, str(int(layer) + 1)), (ALL, str(int(layer) + 1))] if layer else []
        for place in (*places, (component, ALL), (ALL, ALL)):
            sizes.setdefault(place, []).append(counts)
    rows, columns = (list(dict.fromkeys(place[side] for place in sizes)) for side in (0, 1))
    order = sorted(
        sizes, key=lambda place: (place[0] == ALL, rows.index(place[0]), place[1] == ALL, columns.index(place[1]))
    )
    return {place: sum(k for k, _ in sizes[place]) / sum(n for _, n in sizes[place]) for place in order}
