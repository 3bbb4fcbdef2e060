from __future__ import annotations

import numpy as np
import pytest

from prune_bench.measurement.intervals import Counts
from prune_bench.reports.rows.counts import pair


def test_ratios_of_one_test_set_are_added_seed_by_seed():
    one = {seed: Counts([seed, 2, 0], [3, 4, 5]) for seed in (0, 1, 2)}
    other = {seed: Counts([1, seed, 4], [3, 4, 5]) for seed in (1, 2, 3)}
    (sample,) = pair([(1.0, one), (-0.5, other)])
    assert np.asarray(sample.above).tolist() == [[0.5, 1.5, -2.0], [1.5, 1.0, -2.0]]
    assert np.asarray(sample.below).tolist() == [3, 4, 5]


def test_test_sets_stay_apart():
    samples = pair([(0.5, {0: Counts([1, 0], [3, 4])}), (0.5, {1: Counts([1, 0], [4, 3])})])
    assert [np.asarray(sample.above).tolist() for sample in samples] == [[[0.5, 0.0]], [[0.5, 0.0]]]


@pytest.mark.parametrize("other", [{}, {1: Counts([1, 0], [3, 4])}])
def test_nothing_in_common_is_nothing(other):
    assert pair([(1.0, {0: Counts([1, 0], [3, 4])}), (-1.0, other)]) == []
