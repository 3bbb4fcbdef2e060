from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prune_bench.callbacks import OMP
from prune_bench.measurement.overlap import compare_with_start


@pytest.fixture
def start() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2))


@pytest.fixture
def mask(start):
    return OMP(0.5).choose(start)


@pytest.fixture
def pruned(start, mask) -> nn.Module:
    model = copy.deepcopy(start)
    for name in mask:
        model.get_parameter(name).data.mul_(mask[name])
    return model


def test_magnitude_pruning_of_the_start_overlaps_itself_wholly(start, mask, pruned):
    found = compare_with_start(pruned, start, mask)
    assert found["overlap.start"] == 1.0
    removed = torch.cat([start.get_parameter(name)[~mask[name]].abs() for name in mask])
    assert found["threshold"] == removed.max()
    assert found["threshold"] < min(start.get_parameter(name)[mask[name]].abs().min() for name in mask)


def test_one_exchanged_weight_by_hand(start, mask, pruned):
    name = next(iter(mask))
    weight = pruned.get_parameter(name).data
    weight[tuple(mask[name].nonzero()[0])] = 0.0
    weight[tuple((~mask[name]).nonzero()[0])] = 1.0
    assert compare_with_start(pruned, start, mask)["overlap.start"] == 63 / 65


def test_without_pruning_nothing_is_removed(start):
    assert compare_with_start(start, start, OMP(0.0).choose(start)) == {"overlap.start": 1.0, "threshold": 0.0}
