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

import numpy as np

from prune_bench.measurement.accuracy import Difference, pooled_difference
from prune_bench.reports.claims.terms import Comparison, Paper, Term, ValueSource
from prune_bench.reports.rows.counts import is_counted
from prune_bench.reports.rows.results import Results

SEEDS_NEEDED = 3


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


def differences(comparison: Comparison, source: ValueSource) -> dict[int, float]:
    """a minus b for each seed that has both."""
    a, b = comparison.a.values(source), comparison.b.values(source)
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def limits(comparison: Comparison, source: ValueSource) -> dict[int, float]:
    """What the difference of each seed must stay below: the margin's share of b, or the absolute one."""
    known = comparison.b.values(source)
    return {seed: comparison.margin * value + comparison.plus for seed, value in known.items()}


def estimate(comparison: Comparison, results: Results, by_seed: Mapping[int, float]) -> Difference:
    """Mean difference with its interval over seeds and, for ratios of counts, utterances or sentences."""
    a, b = comparison.a, comparison.b
    paired = isinstance(a, Term) and isinstance(b, Term) and is_counted(a.quantity)
    if not paired or len(results.members(a.cell)) + len(results.members(b.cell)) > 2:
        return resample_seeds(list(by_seed.values()))
    errors_a, words = results.counts(a.quantity, a.cell, list(by_seed))
    errors_b, _ = results.counts(b.quantity, b.cell, list(by_seed))
    return pooled_difference(errors_a, errors_b, words)


def resample_seeds(values: Sequence[float], samples: int = 1000) -> Difference:
    """Mean of one value a seed with a bootstrap over seeds; a single seed leaves the interval open."""
    if len(values) == 1:
        return Difference(values[0], -math.inf, math.inf, 1.0)
    draws = np.random.default_rng(0).choice(values, (samples, len(values))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return Difference(fmean(values), float(low), float(high), min(1.0, 2 * (int(tail) + 1) / (samples + 1)))
