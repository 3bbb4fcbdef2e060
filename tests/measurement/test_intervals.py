from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.benchmarks.coverage import QUANTITIES, bootstrap_interval, cover, crossed_interval, simulate
from prune_bench.measurement.intervals import Counts, estimate_mean, estimate_ratio

NEAR = (0.92, 0.98)  # of 1,000 experiments


@pytest.fixture
def corpus() -> tuple[np.ndarray, np.ndarray]:
    """Errors of four seeds and words of 1,500 utterances, about 10 %."""
    rng = np.random.default_rng(7)
    words = rng.integers(3, 10, size=1500)
    return rng.binomial(words, 0.1, (4, 1500)), words


@pytest.mark.parametrize("quantity", ["WER", "WER difference, alike", "WER difference, unlike"])
@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("deviation", [0, 1, 3])
def test_intervals_hold_the_true_value_as_often_as_they_say(quantity, seeds, deviation):
    (found,) = cover(QUANTITIES[quantity], seeds, deviation, 1000, crossed_interval)
    assert NEAR[0] < found.coverage < NEAR[1]


def test_the_bootstrap_over_seeds_and_utterances_does_not():
    draw = QUANTITIES["WER difference, alike"]
    (wide,), (narrow,) = (cover(draw, 3, deviation, 1000, bootstrap_interval) for deviation in (0, 3))
    assert wide.coverage > NEAR[1]
    assert narrow.coverage < NEAR[0]


def test_an_interval_worked_by_hand():
    # The rate is .3 and z = [[-.2, 0], [-.1, .3], [0, 0]], with mean squares .02 of seeds, .06 of utterances, .02 left.
    found = estimate_ratio(Counts([[1, 3], [2, 6], [3, 3]], [10, 10]))
    variance, freedom = (0.02 + 0.06 - 0.02) / 6, 1 / ((1 / 3) / 2 + (2 / 3) / 1)
    half = 100 * stats.t.ppf(0.975, freedom) * variance**0.5
    assert (found.mean, found.low, found.high) == pytest.approx((30.0, 30.0 - half, 30.0 + half))
    assert found.seeds == 3


def test_utterances_that_runs_share_by_chance_alone_are_seeds_business():
    # Rows that cancel in every utterance: what runs share is estimated below zero and counts as nothing.
    found = estimate_ratio(Counts([[4, 0, 2], [0, 6, 4], [2, 3, 3]], [10, 10, 10]))
    rates = np.array([20, 100 / 3, 80 / 3])
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 2) * rates.std(ddof=1) / 3**0.5)


def test_words_weigh_utterances():
    rate = estimate_ratio(Counts([[1, 0], [1, 2]], [1, 9]))
    assert rate.mean == pytest.approx(20.0)


def test_the_benchmark_simulates_the_interval_that_tables_print():
    counts, words, _ = next(simulate(QUANTITIES["WER"], 3, 1, 2))
    low, high = crossed_interval(counts, words)
    found = estimate_ratio(Counts(counts[1], words[1, 0]))
    assert (found.low, found.high) == pytest.approx((100 * low[1], 100 * high[1]))


def test_one_seed_gives_an_interval_over_utterances(corpus):
    errors, words = corpus
    found = estimate_ratio(Counts(errors[0], words))
    residuals = errors[0] - found.mean / 100 * words
    half = 100 * stats.t.ppf(0.975, 1499) * np.sqrt((residuals**2).sum() * 1500 / 1499) / words.sum()
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.seeds == 1


@pytest.mark.parametrize("errors", [[1], [[1], [0], [2]]])
def test_one_utterance_gives_none(errors):
    found = estimate_ratio(Counts(errors, [3]))
    assert found.mean == pytest.approx(100 / 3)
    assert found.low is found.high is None


@pytest.mark.parametrize("errors", [[0, 0, 0], [[0, 0, 0], [0, 0, 0]], [1, 1, 1], [[1, 1, 1]] * 3])
def test_counts_that_do_not_differ_give_none(errors):
    found = estimate_ratio(Counts(errors, [4, 4, 4]))
    assert found.low is found.high is None


def test_seeds_that_disagree_widen_an_interval(corpus):
    errors, words = corpus
    gain = np.zeros_like(errors)
    gain[:, np.flatnonzero(errors[0])[:300]] = 1
    agree = estimate_ratio(Counts(gain, words))
    disagree = estimate_ratio(Counts(gain * np.array([[3], [-1], [1], [1]]), words))
    assert agree.mean == pytest.approx(disagree.mean)
    assert agree.low > 0 > disagree.low


def test_differences_are_narrower_than_the_rates_they_are_of(corpus):
    errors, words = corpus
    better = errors.copy()
    better[:, np.flatnonzero(errors[0])[:60]] -= 1
    one, other = (estimate_ratio(Counts(each, words)) for each in (errors, better))
    difference = estimate_ratio(Counts(errors - better, words))
    assert difference.mean == pytest.approx(one.mean - other.mean)
    assert difference.high - difference.low < (one.high - one.low) / 3


def test_samples_add_up_as_independent_ones(corpus):
    errors, words = corpus
    halves = [Counts(errors[:, part] / 2, words[part]) for part in (slice(750), slice(750, 1500))]
    both, parts = estimate_ratio(*halves), [estimate_ratio(half) for half in halves]
    assert both.mean == pytest.approx(sum(part.mean for part in parts))
    wider, narrower = sum(part.high - part.low for part in parts), max(part.high - part.low for part in parts)
    assert narrower < both.high - both.low < wider


def test_a_sample_of_one_seed_leaves_utterances_alone(corpus):
    errors, words = corpus
    mixed = estimate_ratio(Counts(errors / 2, words), Counts(errors[0] / 2, words))
    alone = estimate_ratio(Counts(errors.mean(axis=0) / 2, words), Counts(errors[0] / 2, words))
    assert (mixed.low, mixed.high, mixed.seeds) == (pytest.approx(alone.low), pytest.approx(alone.high), 1)


def test_other_splits_and_silent_ones_are_refused(corpus):
    errors, words = corpus
    with pytest.raises(ValueError, match="compare on the same split"):
        estimate_ratio(Counts(errors[:, :-1], words))
    with pytest.raises(ValueError, match="no reference words"):
        estimate_ratio(Counts([2, 1], [0, 0]))


def test_a_mean_over_seeds_has_students_interval():
    found = estimate_mean([1.0, 2.0, 3.0])
    half = 4.302653 / 3**0.5
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    assert estimate_mean([1.0]).low is None
