"""Coverage of 95 % intervals over seeds and utterances in simulated experiments, beside the bootstrap over both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.results import Goal, Result
from prune_bench.measurement.intervals import crossed_parts, half_width

ROUNDS = 10_000
UTTERANCES = 300
SEEDS = (3, 10)
DEVIATIONS = (0, 1, 3)
LIMITS = (0.93, 0.97)
SAMPLES, BATCH = 1000, 250

Array = NDArray[np.float64]


class Experiments(NamedTuple):
    """Counts (experiments, seeds, utterances), their words (experiments, 1, utterances) and the true ratio."""

    counts: Array
    words: Array
    truth: float


Draw = Callable[[np.random.Generator, Array, Array], tuple[Array, float]]
Interval = Callable[[Array, Array], tuple[Array, Array]]


def rate(rng: np.random.Generator, words: Array, seeds: Array) -> tuple[Array, float]:
    """Errors at 12 %, some utterances harder than others."""
    hardness = rng.exponential(1, words.shape)
    return rng.poisson(np.maximum(0, 0.12 + seeds) * hardness * words), 0.12


def alike(rng: np.random.Generator, words: Array, seeds: Array) -> tuple[Array, float]:
    """Errors at 12 % minus errors at 10 % on the same utterances, as hard for one model as for the other."""
    hardness = rng.exponential(1, words.shape)
    others = rng.poisson(np.broadcast_to(0.10 * hardness * words, (*seeds.shape[:2], words.shape[2])))
    return rng.poisson(np.maximum(0, 0.12 + seeds) * hardness * words) - others, 0.02


def unlike(rng: np.random.Generator, words: Array, seeds: Array) -> tuple[Array, float]:
    """The same of two models that find different utterances hard."""
    others = rng.exponential(0.10, words.shape) * words
    lost = rng.poisson(np.maximum(0, rng.exponential(0.12, words.shape) + seeds) * words)
    return lost - rng.poisson(np.broadcast_to(others, lost.shape)), 0.12 - 0.10


def entropy(rng: np.random.Generator, words: Array, seeds: Array) -> tuple[Array, float]:
    """Nats of sentences at 1.6 a unit; hundredths of a nat are percent of a perplexity."""
    level = rng.normal(1.6, 0.15, words.shape) + rng.normal(0, 0.1, (*seeds.shape[:2], words.shape[2]))
    return (level + seeds) * words, 1.6


QUANTITIES: dict[str, Draw] = {
    "WER": rate,
    "WER difference, alike": alike,
    "WER difference, unlike": unlike,
    "log perplexity": entropy,
}


def run(rounds: int = ROUNDS, device: str = "cpu") -> Result:
    """Share of `rounds` experiments whose interval holds the true value, and its half-width, for each setting."""
    result = Result(f"Coverage of 95 % intervals, {UTTERANCES} utterances, {rounds:,} experiments a setting")
    covered = []
    for (name, draw), seeds, deviation in product(QUANTITIES.items(), SEEDS, DEVIATIONS):
        crossed, bootstrap = cover(draw, seeds, deviation, rounds, crossed_interval, bootstrap_interval)
        covered.append(crossed.coverage)
        setting = {"quantity": name, "seeds": str(seeds), "of seeds, points": str(deviation)}
        result.rows.append({**setting, "crossed effects": str(crossed), "bootstrap": str(bootstrap)})
    result.goals += [
        Goal("lowest coverage, crossed effects", min(covered), LIMITS[0], at_least=True),
        Goal("highest coverage, crossed effects", max(covered), LIMITS[1], at_least=False),
    ]
    result.notes.append("standard deviation of seeds in points of WER or percent of perplexity; coverage (half-width)")
    result.notes.append("bootstrap: percentiles of 1,000 draws of seeds and, independently, of utterances")
    return result


class Found(NamedTuple):
    """Share of intervals that hold the true value, and their median half-width in percent."""

    coverage: float
    width: float

    def __str__(self) -> str:
        return f"{self.coverage:.3f} ({self.width:.2f})"


def cover(draw: Draw, seeds: int, deviation: float, rounds: int, *intervals: Interval) -> list[Found]:
    """What each way to take an interval comes to in `rounds` experiments."""
    ends: list[tuple[list[Array], list[Array]]] = [([], []) for _ in intervals]
    for counts, words, truth in simulate(draw, seeds, deviation, rounds):
        for (low, high), interval in zip(ends, intervals, strict=True):
            bounds = interval(counts, words)
            low.append(bounds[0] - truth)
            high.append(bounds[1] - truth)
    return [found(np.concatenate(low), np.concatenate(high)) for low, high in ends]


def found(low: Array, high: Array) -> Found:
    """Coverage and width of intervals, given by their ends minus the true value."""
    return Found(float(np.mean((low <= 0) & (high >= 0))), 100 * float(np.median(high - low)) / 2)


def simulate(draw: Draw, seeds: int, deviation: float, rounds: int) -> Iterator[Experiments]:
    """`rounds` experiments in batches: words, and normal effects of seeds with a `deviation` in percent."""
    rng = np.random.default_rng(0)
    for first in range(0, rounds, BATCH):
        count = min(BATCH, rounds - first)
        words = rng.integers(4, 11, (count, 1, UTTERANCES)).astype(float)
        counts, truth = draw(rng, words, rng.normal(0, deviation / 100, (count, seeds, 1)))
        yield Experiments(counts, words, truth)


def crossed_interval(counts: Array, words: Array) -> tuple[Array, Array]:
    """The interval of `prune_bench.measurement.intervals`, of each experiment."""
    ratio = counts.sum((1, 2)) / counts.shape[1] / words.sum((1, 2))
    half = half_width(crossed_parts((counts - ratio[:, None, None] * words) / words.mean(-1, keepdims=True)))
    return ratio - half, ratio + half


def bootstrap_interval(counts: Array, words: Array) -> tuple[Array, Array]:
    """Percentiles of the ratio with seeds and utterances drawn with replacement, of each experiment."""
    count, seeds, utterances = counts.shape
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(utterances, np.full(utterances, 1 / utterances), SAMPLES).astype(np.float32)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), SAMPLES) / seeds
    sums = (drawn @ counts.reshape(-1, utterances).T.astype(np.float32)).reshape(SAMPLES, count, seeds)
    ratios = (sums * weights[:, None]).sum(-1) / (drawn @ words[:, 0].T.astype(np.float32))
    low, high = np.percentile(ratios, [2.5, 97.5], axis=0)
    return low, high
