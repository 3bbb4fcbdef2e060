from __future__ import annotations

import numpy as np
import pytest

from prune_bench.measurement.accuracy import (
    bootstrap_interval,
    count_errors,
    equivalent,
    paired_difference,
    pooled_difference,
    word_error_rate,
)


@pytest.fixture
def corpus() -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of 1,500 utterances at about 10 %."""
    rng = np.random.default_rng(7)
    words = rng.integers(3, 10, size=1500)
    return rng.binomial(words, 0.1), words


def test_counts_each_kind_of_edit():
    counts = count_errors(
        ["the cat sat", "one two three four", "a b", "", "x"],
        ["the cat sat", "one too three", "a c c b", "noise here", ""],
    )
    assert counts.words.tolist() == [3, 4, 2, 0, 1]
    assert counts.errors.tolist() == [0, 2, 2, 2, 1]
    assert counts.substitutions.tolist() == [0, 1, 0, 0, 0]
    assert counts.deletions.tolist() == [0, 1, 0, 0, 1]
    assert counts.insertions.tolist() == [0, 0, 2, 2, 0]


def test_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="2 references for 1 hypotheses"):
        count_errors(["a", "b"], ["a"])


def test_corpus_rate_is_not_the_mean_of_rates():
    assert word_error_rate([1, 0], [1, 9]) == 10.0
    with pytest.raises(ValueError, match="no reference words"):
        word_error_rate([2], [0])


def test_interval_matches_the_normal_approximation(corpus):
    errors, words = corpus
    rate = word_error_rate(errors, words)
    residuals = errors - rate / 100 * words
    half_width = 196 * np.sqrt((residuals**2).sum()) / words.sum()
    low, high = bootstrap_interval(errors, words, samples=4000)
    assert low < rate < high
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.08)


def test_interval_is_a_function_of_the_seed(corpus):
    assert bootstrap_interval(*corpus, seed=3) == bootstrap_interval(*corpus, seed=3)
    assert bootstrap_interval(*corpus, seed=3) != bootstrap_interval(*corpus, seed=4)


def test_interval_of_equal_utterances_has_no_width():
    assert bootstrap_interval([1, 1, 1], [4, 4, 4]) == (25.0, 25.0)


def test_pairing_sees_what_unpaired_intervals_hide(corpus):
    errors, words = corpus
    better = errors.copy()
    better[np.flatnonzero(errors)[:60]] -= 1
    low, _ = bootstrap_interval(errors, words)
    _, high = bootstrap_interval(better, words)
    assert low < high
    difference = paired_difference(errors, better, words)
    assert difference.mean == pytest.approx(100 * 60 / words.sum())
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p < 0.01


def test_difference_is_antisymmetric(corpus):
    errors, words = corpus
    other = np.roll(errors, 1)
    one, two = paired_difference(errors, other, words), paired_difference(other, errors, words)
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low))
    assert one.p == two.p


def test_equal_runs_differ_by_nothing(corpus):
    errors, words = corpus
    difference = paired_difference(errors, errors, words)
    assert (difference.mean, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)
    assert equivalent(difference, margin=0.5)


def test_equivalence_needs_the_whole_interval(corpus):
    errors, words = corpus
    difference = paired_difference(errors, np.roll(errors, 1), words)
    widest = max(-difference.low, difference.high)
    assert equivalent(difference, margin=widest * 1.01)
    assert not equivalent(difference, margin=widest * 0.99)


def test_pooling_one_seed_keeps_its_mean_and_interval(corpus):
    errors, words = corpus
    other = np.roll(errors, 5)
    assert pooled_difference([errors], [other], words) == paired_difference(errors, other, words)


def test_pooling_widens_where_seeds_disagree(corpus):
    errors, words = corpus
    gain = np.zeros_like(errors)
    gain[np.flatnonzero(errors)[:300]] = 1
    agree = pooled_difference([errors] * 3, [errors - gain] * 3, words)
    disagree = pooled_difference([errors] * 3, [errors - 3 * gain, errors + gain, errors - gain], words)
    assert agree.mean == pytest.approx(disagree.mean)
    assert agree.low > 0
    assert agree.p < 0.01
    assert disagree.low < 0
    assert disagree.p > 0.05


def test_pooling_refuses_other_splits(corpus):
    errors, words = corpus
    with pytest.raises(ValueError, match="compare on the same split"):
        pooled_difference([errors], [errors[:-1]], words)
