from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prune_bench.measurement.accuracy import paired_difference
from prune_bench.measurement.intervals import Estimate, estimate_mean
from prune_bench.reports.claims.claim import Claim, decide, differences, estimate, weigh
from prune_bench.reports.claims.terms import AtSizeOf, Comparison, Gain, Paper, Term, interpolate
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


def test_two_seeds_are_not_judged_and_the_verdict_says_so():
    claim = Claim("better", "L0 beats OMP", (BETTER,))
    verdict = claim.judge(results(2), PAPER)
    assert verdict.evidence[0].outcome == "needs three seeds"
    assert (verdict.ours, verdict.counts) == ("inconclusive", "1 needs three seeds")
    assert Claim("worse", "", (WORSE, WORSE)).judge(results(2), PAPER).counts == "2 need three seeds"
    assert Claim("worse", "", (WORSE,)).judge(results(2), PAPER).ours == "inconclusive"
    assert claim.judge(results(3), PAPER).ours == "reproduced"


@pytest.mark.parametrize(
    ("interval", "seeds", "outcome"),
    [
        ((-2.0, -1.0), (-1, -2, -1), "holds"),
        ((-2.0, -1.0), (-3, -2, 1), "undecided"),  # one seed says otherwise
        ((-2.0, 0.5), (-1, -2, -1), "undecided"),  # the interval does
        ((1.0, 2.0), (1, 2, 1), "contrary"),
        ((1.0, 2.0), (3, 2, -1), "undecided"),
        ((None, None), (1, 1, 1), "undecided"),  # there is none
        ((-2.0, -1.0), (-1, -2), "needs three seeds"),
    ],
)
def test_a_decision_needs_every_seed_and_the_whole_interval(interval, seeds, outcome):
    found = Estimate(sum(seeds) / len(seeds), *interval, seeds=len(seeds))
    assert decide(found, dict(enumerate(seeds))) == outcome


def test_an_interval_of_fewer_seeds_than_differences_decides_nothing():
    assert decide(Estimate(-1.0, -2.0, -0.5, seeds=1), dict.fromkeys(range(3), -1.0)) == "needs three seeds"


def test_a_margin_moves_the_limit():
    lax, strict = (
        Comparison(Term("wer.test-clean", OMP), Term("wer.test-clean", L0), margin) for margin in (0.1, 0.05)
    )
    assert weigh(lax, results(1), PAPER).published == "holds"  # 3.57 < 3.27 + 10 %
    assert weigh(strict, results(1), PAPER).published == "fails"
    plain, wide, plus = (weigh(replace(SIMILAR, **one), results(3), PAPER) for one in ({}, {"margin": 1}, {"plus": 9}))
    assert [one.outcome for one in (plain, wide, plus)] == ["undecided", "holds", "holds"]
    assert plain.difference == wide.difference == plus.difference


def test_a_margin_is_as_uncertain_as_what_it_is_a_share_of():
    rows = results(3)
    doubled = replace(SIMILAR, margin=1.0)
    share, known = (estimate(one, rows, differences(one, rows)) for one in (doubled, replace(SIMILAR, plus=8.0)))
    assert share.high - share.low > 1.2 * (known.high - known.low)


def test_differences_are_over_seeds_and_utterances():
    rows = results(3)
    counts = [rows.counts("wer.test-clean", cell) for cell in (L0, OMP)]
    errors = np.array([one[seed].above for one in counts for seed in range(3)]).reshape(2, 3, -1)
    expected = paired_difference(*errors, counts[0][0].below)
    assert estimate(BETTER, rows, differences(BETTER, rows)) == expected
    assert (expected.seeds, expected.high < 0) == (3, True)


def test_gains_of_gains_are_over_seeds_and_utterances_too():
    rows, worse = results(3), Term("wer.test-clean", OMP)
    gain = Gain(Term("wer.test-clean", L0), worse)
    none = Gain(Term("wer.test-clean", Cell("continue_ft")), Term("wer.test-clean", DENSE))
    comparison = Comparison(none, gain)
    found = estimate(comparison, rows, differences(comparison, rows))
    cells = (DENSE, Cell("continue_ft"), OMP, L0)
    dense, longer, omp, l0 = (
        np.array([rows.counts("wer.test-clean", cell)[seed].above for seed in range(3)]) for cell in cells
    )
    words = rows.counts("wer.test-clean", DENSE)[0].below
    assert found == paired_difference(dense - longer, omp - l0, words)


def test_perplexities_are_compared_on_the_scale_of_their_logarithms():
    def of(method, factor):
        nats = [[2.0 * factor + 0.1 * seed, 4.1 * factor, 6.3] for seed in range(3)]
        sentences = [{"test": {"nats": each, "units": [2, 3, 4], "words": [1, 1, 1]}} for each in nats]
        return [row(method, 0.5, seed, task="language_model", sentences=each) for seed, each in enumerate(sentences)]

    rows = Results([*of("omp", 1.0), *of("l0_sparsity", 0.5)])
    comparison = Comparison(Term("entropy.test", L0), Term("entropy.test", OMP))
    found = estimate(comparison, rows, differences(comparison, rows))
    assert found.mean == pytest.approx(100 * (1.0 + 2.05 - 2.0 - 4.1) / 9)
    ratio = rows.estimate("ppl.test", L0).mean / rows.estimate("ppl.test", OMP).mean
    assert found.mean == pytest.approx(100 * np.log(ratio))


def test_one_contrary_comparison_refutes_and_one_open_leaves_open():
    three = results(3)
    assert Claim("a", "", (BETTER, WORSE)).judge(three, PAPER).ours == "not reproduced"
    assert Claim("b", "", (BETTER, SIMILAR)).judge(three, PAPER).ours == "inconclusive"
    missing = Comparison(BETTER.a, Term("wer.test-clean", Cell("svd", 0.5)))
    verdict = Claim("c", "", (BETTER, missing)).judge(three, PAPER)
    assert (verdict.ours, verdict.counts) == ("inconclusive", "1 holds, 1 missing")


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


def test_what_has_no_utterances_is_over_seeds():
    deeper = Comparison(Term("lost.top", L0), Term("lost.bottom", L0))
    rows = results(3)
    by_seed = differences(deeper, rows)
    assert estimate(deeper, rows, by_seed) == estimate_mean(list(by_seed.values()))
