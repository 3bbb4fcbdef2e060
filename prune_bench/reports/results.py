"""Finished runs by method, sparsity and seed, and the numbers that reports take from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from prune_bench.measurement.accuracy import average_rate
from prune_bench.reports.cells import Cell, Row, Setting, cell_of
from prune_bench.reports.retained import lost

Timing = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; `low` and `high` bound its 95 % interval where one is known."""

    mean: float
    low: float | None = None
    high: float | None = None


def encoder_rtf(row: Row, timing: Timing, engine: str) -> float | None:
    """Seconds of computation for a second of audio, front end and blocks; None if the run was not timed."""
    if row["run"] not in timing or engine not in timing[row["run"]]:
        return None
    parts = timing[row["run"]][engine]
    return (parts["front_end"]["median"] + parts["blocks"]["median"]) / timing["_protocol"]["seconds"]


def rate(row: Row) -> float:
    """The final fit's peak learning rate: no weight moves further than about this in one update."""
    return row["config"]["final"]["learning_rate"]


def steps(row: Row) -> int:
    """Updates of the final fit."""
    return row["config"]["final"]["steps"]


def _column(key: str, unit: float = 1.0) -> Callable[[Row, Timing], float | None]:
    return lambda row, timing: None if row.get(key) is None else row[key] / unit


def _lost(part: str) -> Callable[[Row, Timing], float | None]:
    return lambda row, timing: lost(row)[part] if "layers" in row else None


def least_overlap(row: Row, timing: Timing) -> float | None:
    """The smallest overlap of a run's mask with those of the other languages and of the pretrained weights."""
    known = timing.get("_overlaps", {}).get(row["run"], {})
    return min((value for other, value in known.items() if other not in (row["run"], "rp")), default=None)


SPLITS = ("test-clean", "test-other", "dev-clean", "dev-other")
PERPLEXITIES = ("ppl.dev", "ppl.test", "ppl.dev.words", "ppl.test.words")
QUANTITIES: dict[str, Callable[[Row, Timing], float | None]] = {
    **{f"wer.{split}": _column(f"wer.{split}") for split in SPLITS},
    **{quantity: _column(quantity) for quantity in PERPLEXITIES},
    **{f"lost.{part}": _lost(part) for part in ("ffn", "attention", "conv", "bottom", "top")},
    **{key: _column(key) for key in ("achieved", "updates.final", "updates.total", "fine_tunings")},
    "overlap.start": _column("overlap.start"),
    "threshold": _column("threshold"),
    "reach.interval": lambda row, timing: rate(row) * max(1, round(row["config"]["pruning"]["interval"] * steps(row))),
    "reach.fit": lambda row, timing: rate(row) * steps(row),
    "minutes": _column("seconds.all_fits", 60),
    "overlap.moved": lambda row, timing: None if "overlap.start" not in row else 1 - row["overlap.start"],
    "overlap.least": least_overlap,
    "overlap.chance": lambda row, timing: timing.get("_overlaps", {}).get(row["run"], {}).get("rp"),
    "size": _column("size.blocks_nonzero", 1e6),
    "encoder": _column("size.encoder", 1e6),
    "model": _column("size.total", 1e6),
    "flops": _column("flops.blocks", 1e9),
    "flops.unit": _column("flops.encoder", 1e6),
    "rtf": lambda row, timing: encoder_rtf(row, timing, "eager"),
    "rtf.onnx": lambda row, timing: encoder_rtf(row, timing, "onnx"),
}


class Results:
    """Rows of one preset and corpus, with one dense model for each seed and setting.

    `runs[cell][seed]` holds the finished rows, `unfinished[cell]` the failed and infeasible ones. `by` are the keys
    of the configuration that make up a cell's setting.
    Raises ValueError when presets, corpora or the dense models of a seed are mixed.
    """

    def __init__(self, rows: Sequence[Row], timing: Timing | None = None, by: Sequence[str] = ()):
        self.timing, self.by = timing or {}, tuple(sorted(by))
        self.rows = list({row["run"]: row for row in rows}.values())
        self.runs: dict[Cell, dict[int, Row]] = defaultdict(dict)
        self.unfinished: dict[Cell, list[Row]] = defaultdict(list)
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
    def done(self) -> list[Row]:
        return [row for runs in self.runs.values() for row in runs.values()]

    @property
    def seeds(self) -> list[int]:
        return sorted({row["seed"] for row in self.rows})

    def members(self, cell: Cell) -> list[Cell]:
        """The cells with runs that `cell` stands for: itself, or all whose setting holds its own and more."""
        if cell in self.runs:
            return [cell]
        return sorted(one for one in self.runs if one[:2] == cell[:2] and set(cell.setting) < set(one.setting))

    def values(self, quantity: str, cell: Cell) -> dict[int, float]:
        """The quantity by seed, for the seeds that have it; of a cell that stands for several, their mean."""
        read = QUANTITIES[quantity]
        found: dict[int, list[float]] = {}
        for member in self.members(cell):
            for seed, row in self.runs[member].items():
                if (value := read(row, self.timing)) is not None:
                    found.setdefault(seed, []).append(value)
        return {seed: fmean(values) for seed, values in sorted(found.items())}

    def estimate(self, quantity: str, cell: Cell) -> Estimate | None:
        """Mean over seeds. For one seed with the row's own interval; error rates have one over seeds and utterances."""
        values, members = self.values(quantity, cell), self.members(cell)
        if not values:
            return None
        if len(members) == len(values) == 1:
            row = self.runs[members[0]][next(iter(values))]
            return Estimate(next(iter(values.values())), row.get(f"{quantity}.low"), row.get(f"{quantity}.high"))
        if not quantity.startswith("wer."):
            return Estimate(fmean(values.values()))
        split = quantity.removeprefix("wer.")
        groups = [self.utterances(split, member, list(self.runs[member])) for member in members]
        return Estimate(*average_rate(groups))

    def change(self, quantity: str, cell: Cell) -> float | None:
        """Relative change from the dense model of the same seed, mean over seeds."""
        dense, values = self.values(quantity, cell.dense), self.values(quantity, cell)
        shared = [values[seed] / dense[seed] - 1 for seed in values if seed in dense]
        return fmean(shared) if shared and cell != cell.dense else None

    def utterances(self, split: str, cell: Cell, seeds: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray]:
        """Errors of each utterance for each seed, and its reference words."""
        counts = [self.runs[cell][seed]["utterances"][split] for seed in seeds]
        return [np.asarray(one["errors"]) for one in counts], np.asarray(counts[0]["words"])


def _test_sets(row: Row) -> dict[str, tuple[int, int]]:
    """Utterances or sentences, and words, of each split."""
    judged = {**row.get("utterances", {}), **row.get("sentences", {})}
    return {split: (len(count["words"]), sum(count["words"])) for split, count in judged.items()}


def check(rows: Sequence[Row], by: Sequence[str] = ()) -> None:
    """Refuse rows that no table may mix."""
    for key in ("preset", "corpus"):
        found = sorted({row[key] for row in rows})
        if len(found) > 1:
            raise ValueError(f"rows of {len(found)} values of {key} ({', '.join(found)}): report each on its own")
    done = [row for row in rows if row["status"] == "done"]
    tested: dict[tuple[Setting, str], tuple[tuple[int, int], Row]] = {}
    dense: dict[tuple[int, Setting], Row] = {}
    for row in done:
        setting = cell_of(row, by).setting
        for split, counts in _test_sets(row).items():
            known, other = tested.setdefault((setting, split), (counts, row))
            if counts != known:
                raise ValueError(
                    f"{other['run']} and {row['run']} were evaluated on different test sets: report the rows of one "
                    "sweep"
                )
        first = dense.setdefault((row["seed"], setting), row)
        if first["dense_sha"] != row["dense_sha"]:
            raise ValueError(
                f"seed {row['seed']} mixes two dense models: {first['run']} starts from {first['dense_sha'][:12]}, "
                f"{row['run']} from {row['dense_sha'][:12]}; report the rows of one sweep, or run it again"
            )
