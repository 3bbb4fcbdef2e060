from __future__ import annotations

import numpy as np
import pytest

from prune_bench.measurement.accuracy import count_errors, paired_difference, rate_of


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
    assert rate_of([1, 0], [1, 9]).mean == 10.0
    with pytest.raises(ValueError, match="no reference words"):
        rate_of([2], [0])


def test_no_rate_is_below_nothing():
    found = rate_of([[2, 0, 0], [0, 0, 0], [0, 0, 0]], [9, 9, 9])
    assert found.low == 0 < found.mean < found.high


def test_a_difference_is_antisymmetric_and_may_be_below_nothing():
    rng = np.random.default_rng(7)
    words = rng.integers(3, 10, 300)
    errors, others = rng.binomial(words, 0.1, (3, 300)), rng.binomial(words, 0.2, (3, 300))
    one, two = paired_difference(errors, others, words), paired_difference(others, errors, words)
    assert one.high < 0
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low))


def test_one_utterance_and_equal_runs_have_no_interval():
    assert paired_difference([1], [0], [3]).low is None
    equal = paired_difference([1, 0, 2], [1, 0, 2], [3, 4, 5])
    assert (equal.mean, equal.low, equal.high) == (0.0, None, None)
