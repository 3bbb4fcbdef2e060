"""What every figure does with its numbers: print them, and write them beside the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from prune_bench.families import Row
from prune_bench.files import write_text
from prune_bench.reports.pages.sheets import Sheet, to_csv, to_latex, to_markdown, to_text
from prune_bench.reports.pages.styles import save
from prune_bench.reports.rows.cells import Cell, Setting, cell_of, keys_of, stands_for
from prune_bench.reports.rows.results import Results, Timing


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure whose numbers make a sheet; a subclass gives `wanted`, `sheet` and `draw`.

    `published` are the facts that a paper states about its own figure, `setting` what it was measured on; `fixed` holds
    what all runs share.
    """

    name: str
    title: str
    published: tuple[str, ...]
    setting: str
    fixed: Setting = ()
    timed: bool = False
    compared: bool = False
    task: str

    @property
    def wanted(self) -> Sequence[Cell]:
        """The runs that the figure shows."""
        raise NotImplementedError

    @property
    def by(self) -> tuple[str, ...]:
        """The keys that tell the runs' settings apart."""
        return keys_of(cell.setting for cell in self.wanted)

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run for this figure, as overrides of a configuration."""
        return [{**cell.overrides(), **dict(self.fixed)} for cell in self.swept(extended)]

    def swept(self, extended: bool) -> Sequence[Cell]:
        """The runs that a sweep makes for the figure: all, unless a subclass leaves some to be asked for."""
        return self.wanted

    def sheet(self, results: Results) -> Sheet:
        """The numbers as text cells."""
        raise NotImplementedError

    def draw(self, results: Results) -> Figure:
        """The picture."""
        raise NotImplementedError

    def results(self, rows: Sequence[Row], timing: Timing | None = None) -> Results:
        """The runs that the figure shows, among rows that may hold more."""
        shown = [row for row in rows if any(stands_for(cell, cell_of(row, self.by)) for cell in self.wanted)]
        return Results(shown, timing, self.by)

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        """The figure's numbers for a terminal of `width` characters. Rows may be incomplete."""
        return to_text(self.sheet(self.results(rows, timing)), width)

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        """Write the figure as PNG and SVG, its numbers as Markdown, LaTeX and CSV; returns their paths.

        Raises ValueError for rows that one figure must not mix.
        """
        results = self.results(rows, timing)
        sheet = self.sheet(results)
        return [
            *save(self.draw(results), folder / "figure"),
            write_text(folder / "figure.md", to_markdown(sheet)),
            write_text(folder / "figure.tex", to_latex(sheet, self.name)),
            write_text(folder / "figure.csv", to_csv(sheet)),
        ]
