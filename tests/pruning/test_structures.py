from __future__ import annotations

import pytest
import torch

from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.criteria import magnitude, random
from prune_bench.pruning.groups import remove_units
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.revival import Free, Hard
from prune_bench.pruning.schedules import OneShot, Repeated
from prune_bench.pruning.structures import Weights


@pytest.mark.parametrize("criterion", [magnitude, random])
@pytest.mark.parametrize("allocation", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.99])
def test_weights_are_removed_to_the_exact_count_with_ties(criterion, allocation, sparsity):
    targets = {"a": torch.randn(7, 11), "b": torch.randn(13)}
    targets["a"][:, ::2] = 0.0
    structure = Weights(targets, ALLOCATIONS[allocation])
    masks = structure.select(
        Pruner(criterion, structure, OneShot(sparsity)).rank(torch.Generator().manual_seed(0)), sparsity
    )
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(sparsity * 90)


def test_masks_are_nested_in_sparsity():
    structure = Weights({"a": torch.randn(500)})
    scores = Pruner(magnitude, structure, OneShot(0.5)).rank(torch.Generator())
    half, most = (structure.select(scores, sparsity)["a"] for sparsity in (0.5, 0.6))
    assert bool((half | ~most).all())


def test_random_masks_follow_the_seed():
    structure = Weights({"a": torch.randn(500)})
    draws = []
    for seed in (0, 0, 1):
        pruner = Pruner(random, structure, OneShot(0.5), seed=seed)
        pruner.update(0)
        draws.append(pruner.masks.checksum())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("budget", [0, 7, 100, 143, 150, 239])
def test_units_fill_the_budget_to_within_the_smallest(budget):
    generator = torch.Generator().manual_seed(budget)
    scores = {"conv": torch.rand(2, generator=generator), "ffn": torch.rand(40, generator=generator)}
    costs = {"conv": 60, "ffn": 3}
    masks = remove_units(scores, costs, budget)
    removed = sum(int((~mask).sum()) * costs[name] for name, mask in masks.items())
    assert budget - 3 < removed <= budget


def test_a_large_unit_goes_in_exchange_for_small_ones():
    masks = remove_units(
        {"conv": torch.tensor([0.25]), "ffn": torch.tensor([0.1, 0.3, 0.2])}, {"conv": 7, "ffn": 3}, 10
    )
    assert masks["conv"].tolist() == [False]
    assert masks["ffn"].tolist() == [False, True, True]
    masks = remove_units({"conv": torch.tensor([0.5]), "ffn": torch.tensor([0.1, 0.3, 0.9])}, {"conv": 70, "ffn": 3}, 9)
    assert masks["conv"].tolist() == [True]
    assert masks["ffn"].tolist() == [False, False, False]


def test_free_units_move_between_draws_and_hard_ones_do_not():
    for revival, expected in ((Hard(), 0.0), (Free(), 5.0)):
        weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
        pruner = Pruner(magnitude, Weights({"w": weight}), Repeated(0.5, 10), revival)
        pruner.update(0)
        weight[0] = 5.0
        pruner.update(1)
        assert float(weight[0]) == expected
    pruner.update(10)
    assert pruner.masks["w"].tolist() == [True, False, False, True]
    assert pruner.churn == 0.5
    assert pruner.achieved == 0.5
