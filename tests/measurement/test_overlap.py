from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prune_bench.measurement.overlap import compare_with_start, kept_weights, largest_weights


@pytest.fixture
def start() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2))


def test_magnitude_pruning_of_the_start_overlaps_itself_wholly(start):
    model = copy.deepcopy(start)
    masks, threshold = largest_weights(start, 0.5)
    for name, weight in model.named_parameters():
        if name in masks:
            weight.data.mul_(masks[name])
    assert kept_weights(model).sparsity == 0.5
    assert compare_with_start(model, start, 0.5) == {"overlap.start": 1.0, "threshold": threshold}
    kept = torch.cat([start.get_parameter(name)[mask].abs() for name, mask in masks.items()])
    assert threshold < kept.min()


def test_one_exchanged_weight_by_hand(start):
    model = copy.deepcopy(start)
    masks, _ = largest_weights(start, 0.5)
    for name, weight in model.named_parameters():
        if name in masks:
            weight.data.mul_(masks[name])
    name, mask = next(iter(masks.items()))
    weight = model.get_parameter(name).data
    weight[tuple(mask.nonzero()[0])] = 0.0
    weight[tuple((~mask).nonzero()[0])] = 1.0
    assert compare_with_start(model, start, 0.5)["overlap.start"] == 63 / 65


def test_without_pruning_nothing_is_removed(start):
    assert compare_with_start(start, start, 0.0) == {"overlap.start": 1.0, "threshold": 0.0}
