"""Tables as data: which runs make the lines, which numbers the columns, and what was published."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from prune_bench.families import Row
from prune_bench.families.common import COMMON
from prune_bench.files import write_text
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.figures import curves
from prune_bench.reports.figures.layers import draw_sheet
from prune_bench.reports.pages import notes
from prune_bench.reports.pages.sheets import Sheet, to_latex, to_markdown, to_text
from prune_bench.reports.pages.styles import save
from prune_bench.reports.rows.cells import Cell, Setting, cell_of, keys_of, varied_keys
from prune_bench.reports.rows.results import Results, Timing
from prune_bench.reports.tables import columns, dashboards
from prune_bench.reports.tables.columns import Column, Entry, Published

# What table.csv holds of every family.
RECORDED = (
    *("size", "encoder", "model", "flops", "achieved"),
    *("updates.final", "updates.total", "fine_tunings", "minutes"),
)


@dataclass(frozen=True)
class Table:
    """A table of a paper: `methods` at each of `sparsities`, below references that are not pruned.

    On request, `extended` sparsities follow and `sized` adds, at each size, a dense model trained from scratch.
    `setting` says what the published figures were measured on; `timed` whether the runs must be timed. `settings` are
    the conditions, by label, that the lines are repeated for, and `over` those that each line is an average of;
    `fixed` holds what all runs share. `chosen` names methods with sparsities where not all combine, `lines`
    every single line in place of all of these. `notes` are printed below.
    """

    name: str
    title: str
    methods: tuple[str, ...]
    columns: tuple[Column, ...]
    published: Published
    setting: str
    timed: bool = True
    compared: bool = False
    task: str = "transducer"
    sparsities: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5)
    extended: tuple[float, ...] = (0.7, 0.85)
    references: tuple[str, ...] = ("dense", "continue_ft")
    sized: tuple[str, ...] = ("scratch",)
    settings: Mapping[str, Setting] = field(default_factory=lambda: {"": ()})
    over: tuple[Setting, ...] = ((),)
    fixed: Setting = ()
    chosen: tuple[tuple[str, float], ...] = ()
    lines: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The keys that tell the settings apart."""
        return keys_of([*self.settings.values(), *self.over])

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run for this table, line by line, as overrides of a configuration."""
        cells = [cell.within(each) for cell in self.cells(extended, references) for each in self.over]
        return [{**cell.overrides(), **dict(self.fixed)} for cell in cells]

    def cells(self, extended: bool = False, references: bool = False) -> list[Cell]:
        """The lines of the table."""
        if self.lines:
            return list(self.lines)
        sparsities = self.sparsities + (self.extended if extended else ())
        methods = (self.sized if references else ()) + self.methods
        lines = [(method, 0.0) for method in self.references]
        lines += self.chosen or [(method, sparsity) for sparsity in sparsities for method in methods]
        return list(dict.fromkeys(Cell.of(*line, setting) for setting in self.settings.values() for line in lines))

    def entries(self, results: Results) -> list[Entry]:
        """Every line, run or not; extended and `sized` lines as soon as one of them has a row."""
        known = {*results.runs, *results.unfinished}
        extended = any(cell.sparsity in self.extended and cell.method in self.methods for cell in known)
        sized = any(cell.method in self.sized for cell in known)
        return [
            Entry(cell, results, self.published.get(cell, {}), self.label(cell)) for cell in self.cells(extended, sized)
        ]

    def label(self, cell: Cell) -> str:
        """The name of a cell's setting; none for a cell that no setting changes, where all others have one."""
        named = (
            label
            for label, setting in self.settings.items()
            if Cell.of(cell.method, 0.0, setting).setting == cell.setting and (cell.setting or not setting)
        )
        return next(named, "")

    def sheet(self, results: Results) -> Sheet:
        """The table as text cells."""
        entries = self.entries(results)
        shown = [*self.columns, *([columns.SEEDS] if len(results.seeds) > 1 else [])]
        blocks = [
            [[column.fill(entry) for column in shown] for entry in block]
            for _, block in groupby(
                entries, key=lambda entry: (not self.lines and entry.cell.setting, entry.cell.sparsity)
            )
        ]
        below = [
            *notes.describe_runs(results, self.setting),
            *self.notes,
            *(notes.describe_timing(results) if self.timed else []),
            *notes.describe_unfinished(results, [entry.cell for entry in entries]),
        ]
        return Sheet(self.title, [column.heading for column in shown], blocks, below)

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        """The table for a terminal of `width` characters (None: as wide as it needs). Rows may be incomplete."""
        return to_text(self.sheet(Results(rows, timing, self.by)), width)

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        """Write table.md, .tex, .csv and .png, the curves and index.html; returns their paths.

        Raises ValueError for rows that one table must not mix.
        """
        results = Results(rows, timing, self.by)
        sheet = self.sheet(results)
        paths = [
            write_text(folder / "table.md", to_markdown(sheet)),
            write_text(folder / "table.tex", to_latex(sheet, self.name)),
            write_text(folder / "table.csv", self.csv(results)),
            *save(draw_sheet(sheet), folder / "table"),
        ]
        if self.by or len(self.sparsities) < 2:
            return paths
        lines = curves.collect_curves([entry.cell for entry in self.entries(results)], results)
        return [*paths, *curves.draw_all(lines, folder), *dashboards.write_dashboard(sheet, lines, folder)]

    def csv(self, results: Results) -> str:
        """Plain numbers, one line an entry: our means, intervals and changes, then the published figures."""
        entries = self.entries(results)
        lines = [_record(entry) for entry in entries]
        buffer = io.StringIO()
        keys = dict.fromkeys(key for line in lines for key in line)
        writer = csv.DictWriter(buffer, list(keys), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return buffer.getvalue()


def table_of(rows: Sequence[Row]) -> Table:
    """A table in their family's columns, whose lines are whatever methods, sparsities and settings the rows hold."""
    by, methods = varied_keys(rows), list(METHODS)
    results = Results(rows, by=by)
    family = results.family
    cells = list(dict.fromkeys(cell_of(row, by) for row in rows))
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    cells.sort(key=lambda cell: (settings.index(cell.setting), cell.sparsity, methods.index(cell.method)))
    return Table(
        name="runs",
        title="Runs",
        task=family.name,
        methods=(),
        lines=tuple(cells),
        columns=(
            *((columns.SETTING,) if by else ()),
            columns.SPARSITY,
            columns.METHOD,
            *(columns.column_of(name, family.name) for name in results.expand(family.columns)),
            *(columns.ACHIEVED, columns.REDUCTIONS, columns.UPDATES),
        ),
        published={},
        setting="",
        timed=family.timed,
        settings={
            ", ".join(f"{key.split('.')[-1]} {value}" for key, value in setting): setting for setting in settings
        },
        sparsities=tuple(sorted({cell.sparsity for cell in cells if cell.sparsity})),
    )


def _record(entry: Entry) -> dict[str, Any]:
    results, cell, known = entry.results, entry.cell, COMMON | dict(entry.results.family.quantities)
    record: dict[str, Any] = {
        **dict(cell.setting),
        "sparsity": cell.sparsity,
        "method": cell.method,
        "status": entry.status,
        "reason": "; ".join(row["reason"] for row in results.unfinished.get(cell, [])),
        "seeds": len(results.runs.get(cell, {})),
    }
    scores = [name for kind in ("test", "dev") for name in results.expand(results.family.scores, kind)]
    for quantity in dict.fromkeys((*scores, *results.expand(results.family.columns), *RECORDED)):
        estimate, bounded = results.estimate(quantity, cell), results.is_ratio(quantity)
        record[quantity] = estimate and estimate.mean
        if bounded:
            record |= {f"{quantity}.{side}": estimate and getattr(estimate, side) for side in ("low", "high")}
    compared = [name for name in record if name in known and known[name].compared]
    changes = {f"{quantity}.change": results.change(quantity, cell) for quantity in compared}
    return {**record, **changes, **{f"published.{key}": value for key, value in entry.published.items()}}
