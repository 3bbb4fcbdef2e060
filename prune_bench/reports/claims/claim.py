"""A paper's conclusions as expressions, judged on our rows and, by the same expression, on the published numbers.

A claim is a list of comparisons `a < b`, or with a margin `a < b (1 + margin)`. On our rows a comparison holds when
every one of at least three seeds says so and the 95 % interval of left minus right side, the margin included, lies
wholly below zero; it is contrary when both lie on the other side. With fewer seeds it is not judged. A claim is
reproduced when all its comparisons hold, not reproduced when one is contrary, and otherwise inconclusive. Published
numbers have no interval: they are compared as they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from prune_bench.measurement.intervals import Estimate, estimate_mean, estimate_ratio
from prune_bench.reports.claims.terms import Comparison, Paper, ValueSource, Weighted
from prune_bench.reports.rows.counts import pair
from prune_bench.reports.rows.results import Results

SEEDS_NEEDED = 3
FEW = "needs three seeds"
SEVERAL = {"holds": "hold", FEW: "need three seeds"}  # of more than one comparison


@dataclass(frozen=True)
class Evidence:
    """What one comparison comes to. Differences are a minus b, those in `by_seed` and `difference` on our rows.

    `outcome` is holds, contrary, undecided, needs three seeds, infeasible or missing; `published` holds, fails or ""
    (not printed).
    """

    comparison: Comparison
    outcome: str
    by_seed: Mapping[int, float]
    difference: Estimate | None
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
        outcomes = Counter(weighed.outcome for weighed in evidence)
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
        printed = [weighed.published for weighed in self.evidence if weighed.published]
        if not printed:
            return "no numbers"
        return f"{'holds' if 'fails' not in printed else 'fails'} ({printed.count('holds')} of {len(printed)})"

    @property
    def seeds(self) -> int:
        """Seeds that every comparison with rows has."""
        return min((len(weighed.by_seed) for weighed in self.evidence if weighed.by_seed), default=0)

    @property
    def counts(self) -> str:
        """How many comparisons had which outcome."""
        outcomes = Counter(weighed.outcome for weighed in self.evidence)
        several = {**SEVERAL, **{outcome: outcome for outcome, count in outcomes.items() if count == 1}}
        return ", ".join(f"{count} {several.get(outcome, outcome)}" for outcome, count in outcomes.most_common())


def weigh(comparison: Comparison, results: Results, paper: Paper) -> Evidence:
    """One comparison on our rows and on the published numbers."""
    plain = replace(comparison, margin=0.0, plus=0.0)
    printed, by_seed = differences(plain, paper), differences(plain, results)
    held = "" if not printed else "holds" if differences(comparison, paper)[0] < 0 else "fails"
    if not by_seed:
        cells = (comparison.a.cell, comparison.b.cell)
        statuses = {row["status"] for cell in cells for row in results.unfinished.get(cell, [])}
        outcome = "infeasible" if "infeasible" in statuses else "missing"
        return Evidence(comparison, outcome, by_seed, None, printed.get(0), held)
    excess = differences(comparison, results)
    outcome = decide(estimate(comparison, results, excess), excess)
    return Evidence(comparison, outcome, by_seed, estimate(plain, results, by_seed), printed.get(0), held)


def decide(excess: Estimate, by_seed: Mapping[int, float]) -> str:
    """`holds` or `contrary` if all of at least three seeds and the whole interval agree on it, else `undecided`.

    Both are of left minus right side, the margin included.
    """
    if min(len(by_seed), excess.seeds) < SEEDS_NEEDED:
        return FEW
    if excess.high is not None and excess.high < 0 and all(value < 0 for value in by_seed.values()):
        return "holds"
    if excess.low is not None and excess.low > 0 and all(value > 0 for value in by_seed.values()):
        return "contrary"
    return "undecided"


def differences(comparison: Comparison, source: ValueSource) -> dict[int, float]:
    """a - b (1 + margin) - plus for each seed that has both."""
    a, b = comparison.a.values(source), comparison.b.values(source)
    return {seed: a[seed] - (1 + comparison.margin) * b[seed] - comparison.plus for seed in a if seed in b}


def estimate(comparison: Comparison, results: Results, by_seed: Mapping[int, float]) -> Estimate:
    """Mean of the differences `by_seed` with its interval over seeds, of ratios of counts over utterances as well."""
    right = (Weighted(-(1 + comparison.margin) * weight, term) for weight, term in comparison.b.parts)
    shares = [*comparison.a.parts, *right] if comparison.a.parts and comparison.b.parts else []
    if all(results.is_ratio(term.quantity) for _, term in shares):
        ratios = (results.ratios(term.quantity, term.cell, weight, by_seed) for weight, term in shares)
        if samples := pair([ratio for members in ratios for ratio in members]):
            return estimate_ratio(*samples).transform(lambda value: value - comparison.plus)
    return estimate_mean(list(by_seed.values()))
