from __future__ import annotations

import math

import pytest

from prune_bench.measurement.accuracy import Difference
from prune_bench.reports.claims.claim import Claim, decide, differences, resample_seeds, weigh
from prune_bench.reports.claims.terms import AtSizeOf, Comparison, Paper, Term, interpolate
from prune_bench.reports.rows.cells import DENSE, Cell
from prune_bench.reports.rows.results import Results
from tests.reports.samples import row, timing, unfinished

OMP, L0 = Cell("omp", 0.5), Cell("l0_sparsity", 0.5)
BETTER = Comparison(Term("wer.test-clean", L0), Term("wer.test-clean", OMP))
WORSE = Comparison(Term("wer.test-clean", OMP), Term("wer.test-clean", L0))
SIMILAR = Comparison(Term("wer.test-clean", Cell("continue_ft")), Term("wer.test-clean", DENSE))
PAPER = Paper({OMP: {"wer.test-clean": 3.57}, L0: {"wer.test-clean": 3.27}})
METHODS = (("dense", 0.0), ("continue_ft", 0.0), ("omp", 0.5), ("l0_sparsity", 0.5))


def results(seeds: int, **changes: object) -> Results:
    return Results([row(method, sparsity, seed, **changes) for method, sparsity in METHODS for seed in range(seeds)])


@pytest.mark.parametrize(
    ("comparison", "outcome", "published"),
    [(BETTER, "holds", "holds"), (WORSE, "contrary", "fails"), (SIMILAR, "undecided", "")],
)
def test_three_seeds_decide_what_differs(comparison, outcome, published):
    evidence = weigh(comparison, results(3), PAPER)
    assert evidence.outcome == outcome
    assert evidence.published == published
    assert list(evidence.by_seed) == [0, 1, 2]


def test_two_seeds_decide_nothing_and_the_verdict_says_so():
    claim = Claim("better", "L0 beats OMP", (BETTER,))
    verdict = claim.judge(results(2), PAPER)
    assert verdict.evidence[0].difference.high < 0
    assert verdict.ours == "inconclusive"
    assert "2 of 3 seeds" in verdict.counts
    assert claim.judge(results(3), PAPER).ours == "reproduced"


@pytest.mark.parametrize(
    ("interval", "seeds", "outcome"),
    [
        ((-2.0, -1.0), (-1, -2, -1), "holds"),
        ((-2.0, -1.0), (-3, -2, 1), "undecided"),  # one seed says otherwise
        ((-2.0, 0.5), (-1, -2, -1), "undecided"),  # the interval does
        ((1.0, 2.0), (1, 2, 1), "contrary"),
        ((1.0, 2.0), (3, 2, -1), "undecided"),
        ((-2.0, -1.0), (-1, -2), "undecided"),
    ],
)
def test_a_decision_needs_every_seed_and_the_whole_interval(interval, seeds, outcome):
    by_seed = dict(enumerate(seeds))
    difference = Difference(sum(seeds) / len(seeds), *interval, 0.01)
    assert decide(difference, by_seed, dict.fromkeys(by_seed, 0.0)) == outcome


def test_a_margin_moves_the_limit():
    by_seed, bounds = dict.fromkeys(range(3), 0.3), dict.fromkeys(range(3), 0.5)
    assert decide(Difference(0.3, 0.2, 0.4, 0.01), by_seed, bounds) == "holds"
    assert decide(Difference(0.3, 0.1, 0.6, 0.01), by_seed, bounds) == "undecided"
    lax, strict = (
        Comparison(Term("wer.test-clean", OMP), Term("wer.test-clean", L0), margin) for margin in (0.1, 0.05)
    )
    assert weigh(lax, results(1), PAPER).published == "holds"  # 3.57 < 3.27 + 10 %
    assert weigh(strict, results(1), PAPER).published == "fails"


def test_one_contrary_comparison_refutes_and_one_open_leaves_open():
    three = results(3)
    assert Claim("a", "", (BETTER, WORSE)).judge(three, PAPER).ours == "not reproduced"
    assert Claim("b", "", (BETTER, SIMILAR)).judge(three, PAPER).ours == "inconclusive"
    missing = Comparison(BETTER.a, Term("wer.test-clean", Cell("svd", 0.5)))
    verdict = Claim("c", "", (BETTER, missing)).judge(three, PAPER)
    assert (verdict.ours, verdict.counts) == ("inconclusive", "1 hold, 1 missing")


def test_infeasible_comparisons_are_set_aside():
    rows = [*results(3).rows, *(unfinished("l0_heads", 0.5, "infeasible", "too few heads", s) for s in range(3))]
    heads = Comparison(BETTER.a, Term("wer.test-clean", Cell("l0_heads", 0.5)))
    verdict = Claim("a", "", (BETTER, heads)).judge(Results(rows), PAPER)
    assert [one.outcome for one in verdict.evidence] == ["holds", "infeasible"]
    assert verdict.ours == "reproduced"
    assert Claim("b", "", (heads,)).judge(Results(rows), PAPER).ours == "inconclusive"


def test_the_published_verdict_counts_what_is_printed():
    claim = Claim("a", "", (BETTER, WORSE, SIMILAR))
    assert claim.judge(results(1), PAPER).paper == "fails (1 of 2)"
    assert Claim("b", "", (SIMILAR,)).judge(results(1), PAPER).paper == "no numbers"


def test_interpolation_is_linear_between_points_and_goes_on_beyond():
    points = [(1.0, 10.0), (2.0, 20.0), (4.0, 30.0)]
    assert [interpolate(size, points) for size in (1.0, 1.5, 3.0, 4.0)] == [10.0, 15.0, 25.0, 30.0]
    assert interpolate(0.5, points) == 5.0
    assert interpolate(5.0, points) == 35.0


def test_a_quantity_at_equal_size_uses_the_methods_own_sizes_and_dense():
    flops = Cell("l0_flops", 0.5)
    term = AtSizeOf("rtf", "l0_sparsity", flops, (0.3, 0.5))
    published = {
        DENSE: {"size": 10.0, "rtf": 1.0}, Cell("l0_sparsity", 0.5): {"size": 5.0, "rtf": 0.6},
        flops: {"size": 7.5, "rtf": 0.7},
    }  # fmt: skip
    assert dict(term.values(Paper(published))) == {0: pytest.approx(0.8)}
    comparison = Comparison(Term("rtf", flops), term)
    assert differences(comparison, Paper(published)) == {0: pytest.approx(-0.1)}
    del published[DENSE]
    assert dict(term.values(Paper(published))) == {}


def test_speed_is_compared_seed_by_seed_from_timings():
    cells = (("dense", 0.0), ("l0_sparsity", 0.3), ("l0_sparsity", 0.5), ("l0_flops", 0.3))
    rows = [row(method, sparsity, seed) for method, sparsity in cells for seed in range(3)]
    flops = Cell("l0_flops", 0.3)
    comparison = Comparison(Term("rtf", flops), AtSizeOf("rtf", "l0_sparsity", flops, (0.3, 0.5)))
    assert weigh(comparison, Results(rows, timing(rows)), PAPER).outcome == "holds"
    assert weigh(comparison, Results(rows), PAPER).outcome == "missing"


def test_lost_weights_compare_within_a_row():
    deeper = Comparison(Term("lost.top", L0), Term("lost.bottom", L0))
    evidence = weigh(deeper, results(3), PAPER)
    assert evidence.outcome == "holds"
    assert evidence.difference.mean < -10


def test_resampled_seeds():
    difference = resample_seeds([1.0, 2.0, 3.0])
    assert difference.mean == 2.0
    assert (difference.low, difference.high) == (1.0, 3.0)
    assert resample_seeds([1.0]).high == math.inf
