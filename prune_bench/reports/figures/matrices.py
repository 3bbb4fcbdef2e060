"""Matrices over languages as heat maps: how masks overlap, and what a mask is worth in another language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_bench.reports.pages import notes
from prune_bench.reports.pages.drawings import Drawing
from prune_bench.reports.pages.sheets import MISSING, Heading, Sheet
from prune_bench.reports.pages.styles import INK, SETTINGS
from prune_bench.reports.rows.cells import Cell, Setting
from prune_bench.reports.rows.results import Results

Matrix = Mapping[tuple[str, str], float]  # by (row, column); what is unknown is absent
SIDE = 0.52
LANGUAGE, SOURCE = "corpus.language", "pruning.mask_language"


@dataclass(frozen=True)
class MatrixPanel:
    """One matrix: its title, its rows and how to find its entries."""

    title: str
    rows: tuple[str, ...]
    find: Callable[[Results], Matrix]


@dataclass(frozen=True, kw_only=True)
class MatrixFigure(Drawing):
    """Heat maps side by side, their columns languages. `unit` says what an entry is, `limits` bound its colours.

    `lines` are the runs, as cells.
    """

    parts: tuple[MatrixPanel, ...]
    columns: tuple[str, ...]
    lines: tuple[Cell, ...]
    unit: str
    limits: tuple[float, float]
    colours: str = "Blues"

    @property
    def wanted(self) -> tuple[Cell, ...]:
        return self.lines

    def sheet(self, results: Results) -> Sheet:
        """One line for each row of each matrix."""
        headings = [Heading("matrix"), Heading("mask of"), *(Heading(name, self.unit) for name in self.columns)]
        blocks = []
        for part in self.parts:
            matrix = part.find(results)
            blocks.append(
                [[part.title, row, *(number(matrix, row, column) for column in self.columns)] for row in part.rows]
            )
        below = [*notes.describe_runs(results, self.setting, scored=not self.compared, bounded=False), *self.published]
        return Sheet(self.title, headings, blocks, below)

    def draw(self, results: Results) -> Figure:
        """The matrices with their numbers written in."""
        with matplotlib.rc_context({**SETTINGS, "axes.grid": False}):
            size = (1.2 + SIDE * len(self.columns)) * len(self.parts), 1.2 + SIDE * max(len(p.rows) for p in self.parts)
            figure = Figure(figsize=size, layout="constrained")
            for axes, part in zip(figure.subplots(1, len(self.parts), squeeze=False)[0], self.parts, strict=True):
                self._draw_part(axes, part, part.find(results))
        return figure

    def _draw_part(self, axes: Axes, part: MatrixPanel, matrix: Matrix) -> None:
        axes.set_title(part.title, pad=10)
        axes.set_ylabel("mask of")
        draw_matrix(axes, part.rows, self.columns, matrix, self.limits, self.colours)


def draw_matrix(
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    matrix: Matrix,
    limits: tuple[float, float],
    colours: str = "Blues",
) -> None:
    """A heat map with its numbers written in; what is unknown stays white."""
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    low, high = limits
    values = [[matrix.get((row, column), float("nan")) for column in columns] for row in rows]
    axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if (row, column) in matrix:
                dark = (matrix[row, column] - low) / (high - low) > 0.6
                text = number(matrix, row, column)
                axes.text(j, i, text, ha="center", va="center", size=7.5, color="white" if dark else INK)


def number(matrix: Matrix, row: str, column: str) -> str:
    """An entry as text."""
    value = matrix.get((row, column))
    return MISSING if value is None else f"{value:.2f}"


def overlap_matrix(languages: Sequence[str], setting: Setting) -> Callable[[Results], Matrix]:
    """How the dense models' masks overlap, mean over seeds: of languages with each other, with MPI's and RP's."""

    def find(results: Results) -> Matrix:
        measured = results.timing.get("_overlaps", {})
        runs = {
            language: results.runs.get(Cell("dense").within((*setting, (LANGUAGE, language))), {})
            for language in languages
        }
        values: dict[tuple[str, str], list[float]] = {}
        for column in languages:
            for seed, row in runs[column].items():
                known = measured.get(row["run"], {})
                others = {name: runs[name][seed]["run"] for name in languages if seed in runs[name]}
                for name, other in {**others, "MPI": "mpi", "RP": "rp"}.items():
                    if other in known:
                        values.setdefault((name, column), []).append(known[other])
        return {place: fmean(overlaps) for place, overlaps in values.items()}

    return find


def transfer_matrix(
    method: str, chance: str, languages: Sequence[str], sparsity: float, quantity: str = "wer.test-clean"
) -> Callable[[Results], Matrix]:
    """What a language loses with another's mask: (error with its own - error with the other's) / error with its own.

    `chance` is the method with a random mask in the place of another's.
    """

    def find(results: Results) -> Matrix:
        def rate(method: str, source: str, target: str) -> float | None:
            setting = ((LANGUAGE, target), (SOURCE, source))
            estimate = results.estimate(quantity, Cell.of(method, sparsity, setting))
            return estimate.mean if estimate else None

        gains = {}
        for target in languages:
            own = rate(method, target, target)
            for source, name in [*((language, language) for language in languages), ("", "RP")]:
                other = rate(method if source else chance, source, target)
                if own and other is not None:
                    gains[name, target] = (own - other) / own
        return gains

    return find
