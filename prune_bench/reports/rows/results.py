"""Finished runs by method, sparsity and seed, and the numbers that reports take from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from statistics import fmean

from prune_bench.config.history import flatten
from prune_bench.families import FAMILIES, Family, Finished, Row, Unfinished, expand, find_quantity
from prune_bench.families.quantities import Columns, Quantity, Timing
from prune_bench.measurement.intervals import Counts, Estimate, estimate_ratio
from prune_bench.reports.rows.cells import Cell, Setting, cell_of, stands_for
from prune_bench.reports.rows.counts import pair


class Results:
    """Rows of one preset and corpus, with one dense model for each seed and setting.

    `runs[cell][seed]` holds the finished rows, `unfinished[cell]` the failed and infeasible ones. `by` are the keys
    of the configuration that make up a cell's setting.
    Raises ValueError when presets, corpora or the dense models of a seed are mixed.
    """

    def __init__(self, rows: Sequence[Row], timing: Timing | None = None, by: Sequence[str] = ()):
        self.timing, self.by = timing or {}, tuple(sorted(by))
        self.rows = list({row["run"]: row for row in rows}.values())
        self.runs: dict[Cell, dict[int, Finished]] = defaultdict(dict)
        self.unfinished: dict[Cell, list[Unfinished]] = defaultdict(list)
        check(self.rows, self.by)
        for row in self.rows:
            cell = cell_of(row, self.by)
            if row["status"] != "done":
                self.unfinished[cell].append(row)
                continue
            other = self.runs[cell].setdefault(row["seed"], row)
            if other is not row:
                raise ValueError(
                    f"{other['run']} and {row['run']} are both {cell.method} at {cell.sparsity:g}, seed {row['seed']}: "
                    "report the rows of one sweep"
                )

    @property
    def done(self) -> list[Finished]:
        return [row for runs in self.runs.values() for row in runs.values()]

    @property
    def seeds(self) -> list[int]:
        return sorted({row["seed"] for row in self.rows})

    @property
    def tasks(self) -> tuple[str, ...]:
        """The families of the rows, of all that there are while there is no row."""
        return tuple(dict.fromkeys(row["task"] for row in self.rows)) or FAMILIES.names

    @property
    def family(self) -> Family:
        return FAMILIES.find(self.tasks[0])

    def find(self, quantity: str) -> tuple[Quantity, str]:
        """A quantity by name, and what its name leaves open. ValueError for one that these rows do not have."""
        return find_quantity(quantity, self.tasks)

    def expand(self, quantities: Iterable[str], kind: str = "test") -> list[str]:
        """The names, a `*` in them replaced by each split of that kind that the first finished row has."""
        return expand(quantities, self.done[0] if self.done else None, kind)

    def members(self, cell: Cell) -> list[Cell]:
        """The cells with runs that `cell` stands for: itself, or all whose setting holds its own and more."""
        if cell in self.runs:
            return [cell]
        return sorted(known for known in self.runs if stands_for(cell, known))

    def values(self, quantity: str, cell: Cell) -> dict[int, float]:
        """The quantity by seed, for the seeds that have it; of a cell that stands for several, their mean."""
        (read, which), collected = self.find(quantity), dict[int, list[float]]()
        for member in self.members(cell):
            for seed, row in self.runs[member].items():
                if (value := read.value(row, self.timing, which)) is not None:
                    collected.setdefault(seed, []).append(value)
        return {seed: fmean(values) for seed, values in sorted(collected.items())}

    def estimate(self, quantity: str, cell: Cell) -> Estimate | None:
        """Mean over seeds. Ratios of counts have an interval over seeds and utterances, of one seed over utterances.

        What is a function of such a ratio is averaged, and has its interval, on the scale of the ratio.
        """
        values = self.values(quantity, cell)
        if not values:
            return None
        samples = pair(self.ratios(quantity, cell))
        return (
            estimate_ratio(*samples).transform(self.find(quantity)[0].rising)
            if samples
            else Estimate(fmean(values.values()))
        )

    def ratios(
        self, quantity: str, cell: Cell, weight: float = 1.0, seeds: Collection[int] | None = None
    ) -> list[tuple[float, dict[int, Counts]]]:
        """A ratio of counts as `pair` takes it: a share of `weight` and the counts by seed of all `cell` stands for."""
        members = self.members(cell)
        share = weight / max(1, len(members))
        return [(share, self.counts(quantity, member, seeds)) for member in members]

    def change(self, quantity: str, cell: Cell) -> float | None:
        """Relative change from the dense model of the same seed, mean over seeds."""
        dense, values = self.values(quantity, cell.dense), self.values(quantity, cell)
        shared = [values[seed] / dense[seed] - 1 for seed in values if seed in dense]
        return fmean(shared) if shared and cell != cell.dense else None

    def counts(self, quantity: str, cell: Cell, seeds: Collection[int] | None = None) -> dict[int, Counts]:
        """What a ratio sums above and below, by utterance or sentence, for each of `seeds` (all) that has it."""
        ratio, which = self.find(quantity)[0].ratio, self.find(quantity)[1]
        rows = sorted((seed, row) for seed, row in self.runs[cell].items() if seeds is None or seed in seeds)
        found = {seed: ratio(row, which) for seed, row in rows} if ratio else {}
        return {seed: Counts(*counts) for seed, counts in found.items() if counts is not None}

    def is_ratio(self, quantity: str) -> bool:
        """Whether a quantity is a ratio of counts, on whose scale differences are taken."""
        return self.find(quantity)[0].ratio is not None


def _test_sets(row: Columns) -> dict[str, tuple[int, int]]:
    """Utterances or sentences, and words, of each split."""
    judged = {**row.get("utterances", {}), **row.get("sentences", {})}
    return {split: (len(count["words"]), sum(count["words"])) for split, count in judged.items()}


def _content(row: Row) -> dict[str, str]:
    """Digests of what a row's corpora held, by section, language and split."""
    parts = {
        section: row["config"].get(section, {}).get("content", {}) for section in ("corpus", "pretraining", "text")
    }
    return {key: digest for key, digest in flatten(parts).items() if digest}


def check(rows: Sequence[Row], by: Sequence[str] = ()) -> None:
    """Refuse rows that no table may mix."""
    for key in ("preset", "corpus"):
        values = sorted({row[key] for row in rows})
        if len(values) > 1:
            raise ValueError(f"rows of {len(values)} values of {key} ({', '.join(values)}): report each on its own")
    done = [row for row in rows if row["status"] == "done"]
    tested: dict[tuple[Setting, str], tuple[tuple[int, int], Finished]] = {}
    contents: dict[tuple[Setting, str], tuple[str, Finished]] = {}
    dense: dict[tuple[int, Setting], Finished] = {}
    for row in done:
        setting = cell_of(row, by).setting
        for split, counts in _test_sets(row).items():
            known, other = tested.setdefault((setting, split), (counts, row))
            if counts != known:
                raise ValueError(
                    f"{other['run']} and {row['run']} were evaluated on different test sets: report the rows of one "
                    "sweep"
                )
        for place, digest in _content(row).items():
            held, other = contents.setdefault((setting, place), (digest, row))
            if digest != held:
                raise ValueError(
                    f"{place} changed between {other['run']} and {row['run']}: report the rows of one sweep, or run "
                    "it again"
                )
        first = dense.setdefault((row["seed"], setting), row)
        if first["dense_sha"] != row["dense_sha"]:
            raise ValueError(
                f"seed {row['seed']} mixes two dense models: {first['run']} starts from {first['dense_sha'][:12]}, "
                f"{row['run']} from {row['dense_sha'][:12]}; report the rows of one sweep, or run it again"
            )
