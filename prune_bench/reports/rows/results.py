"""Finished runs by method, sparsity and seed, and the numbers that reports take from them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from prune_bench.config.history import flatten
from prune_bench.families.transducer.retained import lost
from prune_bench.measurement.intervals import Counts, Estimate, estimate_ratio
from prune_bench.pruning.masks import CHANCE
from prune_bench.pruning.methods import find_method
from prune_bench.reports.rows.cells import Cell, Row, Setting, cell_of, stands_for
from prune_bench.reports.rows.counts import PARTS, count, is_counted, pair, ratio

Timing = Mapping[str, Any]


def encoder_rtf(row: Row, timing: Timing, engine: str) -> float | None:
    """Seconds of computation for a second of audio, front end and blocks; None if the run was not timed."""
    parts = timing.get(row["run"], {}).get(engine, {})
    if "blocks" not in parts:
        return None
    return (parts["front_end"]["median"] + parts["blocks"]["median"]) / timing["_protocol"]["seconds"]


def token_latency(runtime: str, stage: str) -> Callable[[Row, Timing], float | None]:
    """Microseconds that a language model takes for a token."""

    def value(row: Row, timing: Timing) -> float | None:
        parts = timing.get(row["run"], {}).get(runtime, {})
        return 1e6 * parts[stage]["median"] / timing["_protocol"]["units"] if stage in parts else None

    return value


def rate(row: Row) -> float:
    """The final fit's peak learning rate: no weight moves further than about this in one update."""
    return row["config"]["final"]["learning_rate"]


def steps(row: Row) -> int:
    """Updates of the final fit."""
    return row["config"]["final"]["steps"]


def training_operations(row: Row, timing: Timing) -> float | None:
    """Operations of all fits in 10^12: the counted ones of a forward pass, three times for each batch of an update.

    An upper bound: frozen convolutions have no backward pass, and all fits are taken to have the last one's batches.
    """
    if row.get("updates.total") is None or "flops.encoder" not in row:
        return None
    config = row["config"]
    features, fit = config["features"], config[find_method(row["method"]).fit]
    frame = 1 / features["sample_rate"] if features["kind"] == "waveform" else features["hop_ms"] / 1000
    speech = row["updates.total"] * fit["accumulate"] * fit["frames"] * frame
    return 3 * row["flops.encoder"] * speech / config["pruning"]["reference_seconds"] / 1e12


def _column(key: str, scale: float = 1.0) -> Callable[[Row, Timing], float | None]:
    return lambda row, timing: None if row.get(key) is None else row[key] / scale


def _lost(part: str) -> Callable[[Row, Timing], float | None]:
    return lambda row, timing: lost(row)[part] if "layers" in row else None


def _ratio(quantity: str) -> Callable[[Row, Timing], float | None]:
    return lambda row, timing: ratio(row, quantity)


def _exponent(quantity: str) -> Callable[[Row, Timing], float | None]:
    def value(row: Row, timing: Timing) -> float | None:
        nats = ratio(row, quantity)
        return None if nats is None else math.exp(nats / 100)

    return value


def least_overlap(row: Row, timing: Timing) -> float | None:
    """The smallest overlap of a run's mask with those of the other languages and of the pretrained weights."""
    known = timing.get("_overlaps", {}).get(row["run"], {})
    return min((value for other, value in known.items() if other not in (row["run"], CHANCE)), default=None)


SPLITS = ("test-clean", "test-other", "dev-clean", "dev-other")
PERPLEXITIES = ("ppl.dev", "ppl.test", "ppl.dev.words", "ppl.test.words")
LATENCIES = ("latency.step", "latency.sentence", "latency.onnx")
_PARTS = tuple(f".{part}" for part in PARTS)
_TEXTS = tuple(f"{split}{by}{part}" for split in ("dev", "test") for by in ("", ".words") for part in ("", *_PARTS))
QUANTITIES: dict[str, Callable[[Row, Timing], float | None]] = {
    **{f"wer.{split}": _column(f"wer.{split}") for split in SPLITS},
    **{f"wer.{split}{part}": _ratio(f"wer.{split}{part}") for split in SPLITS for part in _PARTS},
    **{f"alone.wer.{split}": _ratio(f"alone.wer.{split}") for split in SPLITS},
    **{f"entropy.{text}": _ratio(f"entropy.{text}") for text in _TEXTS},
    **{f"ppl.{text}": _exponent(f"entropy.{text}") for text in _TEXTS},
    **{f"lost.{part}": _lost(part) for part in ("ffn", "attention", "conv", "bottom", "top")},
    **{key: _column(key) for key in ("achieved", "updates.final", "updates.total", "fine_tunings")},
    "overlap.start": _column("overlap.start"),
    "threshold": _column("threshold"),
    "reach.interval": lambda row, timing: rate(row) * max(1, round(row["config"]["pruning"]["interval"] * steps(row))),
    "reach.fit": lambda row, timing: rate(row) * steps(row),
    "flops.training": training_operations,
    "minutes": _column("seconds.all_fits", 60),
    "overlap.moved": lambda row, timing: None if "overlap.start" not in row else 1 - row["overlap.start"],
    "overlap.least": least_overlap,
    "overlap.chance": lambda row, timing: timing.get("_overlaps", {}).get(row["run"], {}).get(CHANCE),
    "size": _column("size.blocks_nonzero", 1e6),
    "encoder": _column("size.encoder", 1e6),
    "model": _column("size.total", 1e6),
    "flops": _column("flops.blocks", 1e9),
    "flops.token": _column("flops.encoder", 1e6),
    **dict(
        zip(LATENCIES, map(token_latency, ("eager", "eager", "onnx"), ("step", "sentence", "sentence")), strict=True)
    ),
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
        return sorted(one for one in self.runs if stands_for(cell, one))

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
        """Mean over seeds. Ratios of counts have an interval over seeds and utterances, of one seed over utterances.

        Perplexities are averaged, and have their interval, on the scale of entropies.
        """
        values, entropies = self.values(quantity, cell), quantity.startswith("ppl.")
        if not values:
            return None
        counted = quantity.replace("ppl", "entropy", 1) if entropies else quantity
        samples = pair(self.ratios(counted, cell)) if is_counted(counted) else []
        if not samples:
            return Estimate(fmean(values.values()))
        return estimate_ratio(*samples).transform(lambda value: math.exp(value / 100) if entropies else max(0.0, value))

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
        found = {seed: count(row, quantity) for seed, row in self.runs[cell].items() if seeds is None or seed in seeds}
        return {seed: counts for seed, counts in sorted(found.items()) if counts is not None}


def _test_sets(row: Row) -> dict[str, tuple[int, int]]:
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
        found = sorted({row[key] for row in rows})
        if len(found) > 1:
            raise ValueError(f"rows of {len(found)} values of {key} ({', '.join(found)}): report each on its own")
    done = [row for row in rows if row["status"] == "done"]
    tested: dict[tuple[Setting, str], tuple[tuple[int, int], Row]] = {}
    contents: dict[tuple[Setting, str], tuple[str, Row]] = {}
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
