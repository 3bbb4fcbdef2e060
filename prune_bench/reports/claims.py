"""A paper's conclusions as expressions, judged on our rows and, by the same expression, on the published numbers.

A claim is a list of comparisons `a < b`, or with a margin `a < b (1 + margin)`. On our rows a comparison holds when
every one of at least three seeds says so and the 95 % interval of the difference lies wholly on that side; it is
contrary when both lie on the other side. A claim is reproduced when all its comparisons hold, not reproduced when one
is contrary, and otherwise inconclusive. Published numbers have no interval: they are compared as they stand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from prune_bench.measurement.accuracy import Difference, pooled_difference
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.cells import DENSE, Cell
from prune_bench.reports.columns import Published
from prune_bench.reports.results import Results

SEEDS_NEEDED = 3


class Source(Protocol):
    """Where numbers come from: our results, or a paper."""

    def values(self, quantity: str, cell: Cell) -> Mapping[int, float]:
        """A quantity by seed."""


@dataclass(frozen=True)
class Paper:
    """Published numbers as the values of one run, here called seed 0."""

    published: Published

    def values(self, quantity: str, cell: Cell) -> Mapping[int, float]:
        found = self.published.get(cell, {})
        return {0: found[quantity]} if quantity in found else {}


@dataclass(frozen=True)
class Term:
    """A quantity of one line of a table."""

    quantity: str
    cell: Cell

    def __str__(self) -> str:
        at = f" {100 * self.cell.sparsity:g} %" if self.cell.sparsity else ""
        name = f"{METHODS[self.cell.method].label}{at}"
        return f"{name}, {self.quantity.partition('.')[2]}" if self.quantity.startswith("lost.") else name

    def values(self, source: Source) -> Mapping[int, float]:
        return source.values(self.quantity, self.cell)


@dataclass(frozen=True)
class AtSizeOf:
    """A quantity of `method` at the size of another line: linear between the method's own sparsities and dense.

    Beyond its smallest model the last segment is extended.
    """

    quantity: str
    method: str
    cell: Cell
    sparsities: tuple[float, ...]

    def __str__(self) -> str:
        return f"{METHODS[self.method].label} at the same size"

    def values(self, source: Source) -> Mapping[int, float]:
        cells = [DENSE, *(Cell(self.method, sparsity) for sparsity in self.sparsities)]
        found = [(source.values("size", cell), source.values(self.quantity, cell)) for cell in cells]
        interpolated = {}
        for seed, size in source.values("size", self.cell).items():
            points = sorted((sizes[seed], values[seed]) for sizes, values in found if seed in sizes and seed in values)
            if len(points) > 1:
                interpolated[seed] = interpolate(size, points)
        return interpolated


@dataclass(frozen=True)
class Level:
    """A constant, for each seed of a line."""

    value: float
    quantity: str
    cell: Cell

    def __str__(self) -> str:
        return f"{self.value:g}"

    def values(self, source: Source) -> Mapping[int, float]:
        return dict.fromkeys(source.values(self.quantity, self.cell), self.value)


@dataclass(frozen=True)
class Comparison:
    """`a < b`, or with a relative margin `a < b (1 + margin)`."""

    a: Term | Level
    b: Term | AtSizeOf | Level
    margin: float = 0.0

    def __str__(self) -> str:
        kind, _, which = self.a.quantity.partition(".")
        above = f" + {100 * self.margin:g} %" if self.margin else ""
        return f"{self.a} < {self.b}{above}" + (f", {which}" if kind == "wer" else "")


@dataclass(frozen=True)
class Evidence:
    """What one comparison comes to. Differences are a minus b, those in `by_seed` and `difference` on our rows.

    `outcome` is holds, contrary, undecided, infeasible or missing; `published` holds, fails or "" (not printed).
    """

    comparison: Comparison
    outcome: str
    by_seed: Mapping[int, float]
    difference: Difference | None
    published_difference: float | None
    published: str


@dataclass(frozen=True)
class Claim:
    """A conclusion in words and as comparisons. `beyond` marks one that the paper itself does not make."""

    name: str
    text: str
    comparisons: tuple[Comparison, ...]
    beyond: bool = False
    note: str = ""

    def judge(self, results: Results, paper: Paper) -> Verdict:
        """Evidence for every comparison, and what it adds up to."""
        evidence = tuple(weigh(comparison, results, paper) for comparison in self.comparisons)
        outcomes = Counter(one.outcome for one in evidence)
        possible = len(evidence) - outcomes["infeasible"]
        if outcomes["contrary"]:
            ours = "not reproduced"
        elif possible and outcomes["holds"] == possible:
            ours = "reproduced"
        else:
            ours = "inconclusive"
        return Verdict(self, evidence, ours)


@dataclass(frozen=True)
class Verdict:
    """A judged claim: `ours` is reproduced, not reproduced or inconclusive."""

    claim: Claim
    evidence: tuple[Evidence, ...]
    ours: str

    @property
    def paper(self) -> str:
        """The same expression on the published numbers."""
        printed = [one.published for one in self.evidence if one.published]
        if not printed:
            return "no numbers"
        return f"{'holds' if 'fails' not in printed else 'fails'} ({printed.count('holds')} of {len(printed)})"

    @property
    def seeds(self) -> int:
        """Seeds that every comparison with rows has."""
        return min((len(one.by_seed) for one in self.evidence if one.by_seed), default=0)

    @property
    def counts(self) -> str:
        """How many comparisons had which outcome, and what is missing for a verdict."""
        outcomes = Counter(one.outcome for one in self.evidence)
        parts = [f"{count} {'hold' if outcome == 'holds' else outcome}" for outcome, count in outcomes.most_common()]
        few = [f"{self.seeds} of {SEEDS_NEEDED} seeds"] if 0 < self.seeds < SEEDS_NEEDED else []
        return ", ".join([*few, *parts])


def weigh(comparison: Comparison, results: Results, paper: Paper) -> Evidence:
    """One comparison on our rows and on the published numbers."""
    printed = differences(comparison, paper)
    held = "" if not printed else "holds" if printed[0] < limits(comparison, paper)[0] else "fails"
    by_seed = differences(comparison, results)
    if not by_seed:
        cells = (comparison.a.cell, comparison.b.cell)
        statuses = {row["status"] for cell in cells for row in results.unfinished.get(cell, [])}
        outcome = "infeasible" if "infeasible" in statuses else "missing"
        return Evidence(comparison, outcome, by_seed, None, printed.get(0), held)
    difference = estimate(comparison, results, by_seed)
    outcome = decide(difference, by_seed, limits(comparison, results))
    return Evidence(comparison, outcome, by_seed, difference, printed.get(0), held)


def decide(difference: Difference, by_seed: Mapping[int, float], bounds: Mapping[int, float]) -> str:
    """`holds` or `contrary` if all of at least three seeds and the whole interval agree on it, else `undecided`."""
    if len(by_seed) < SEEDS_NEEDED:
        return "undecided"
    bound = fmean(bounds[seed] for seed in by_seed)
    if difference.high < bound and all(value < bounds[seed] for seed, value in by_seed.items()):
        return "holds"
    if difference.low > bound and all(value > bounds[seed] for seed, value in by_seed.items()):
        return "contrary"
    return "undecided"


def differences(comparison: Comparison, source: Source) -> dict[int, float]:
    """a minus b for each seed that has both."""
    a, b = comparison.a.values(source), comparison.b.values(source)
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def limits(comparison: Comparison, source: Source) -> dict[int, float]:
    """What the difference of each seed must stay below: the margin's share of b."""
    return {seed: comparison.margin * value for seed, value in comparison.b.values(source).items()}


def estimate(comparison: Comparison, results: Results, by_seed: Mapping[int, float]) -> Difference:
    """Mean difference with its interval over seeds and, for error rates, utterances."""
    a, b = comparison.a, comparison.b
    if not a.quantity.startswith("wer.") or len(results.members(a.cell)) + len(results.members(b.cell)) > 2:
        return resample_seeds(list(by_seed.values()))
    split = a.quantity.removeprefix("wer.")
    errors_a, words = results.utterances(split, a.cell, list(by_seed))
    errors_b, _ = results.utterances(split, b.cell, list(by_seed))
    return pooled_difference(errors_a, errors_b, words)


def resample_seeds(values: Sequence[float], samples: int = 1000) -> Difference:
    """Mean of one value a seed with a bootstrap over seeds; a single seed leaves the interval open."""
    if len(values) == 1:
        return Difference(values[0], -math.inf, math.inf, 1.0)
    draws = np.random.default_rng(0).choice(values, (samples, len(values))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return Difference(fmean(values), float(low), float(high), min(1.0, 2 * (int(tail) + 1) / (samples + 1)))


def interpolate(size: float, points: Sequence[tuple[float, float]]) -> float:
    """The piecewise linear function through sorted points, its end segments extended."""
    right = next((i for i in range(1, len(points)) if points[i][0] >= size), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (size - x0) / (x1 - x0)
