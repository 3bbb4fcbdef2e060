"""Rank components: the cheapest loss for a size, never between break-even and full."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from prune_bench.pruning import Infeasible
from prune_bench.pruning.criteria import magnitude
from prune_bench.pruning.low_rank import break_even, factorise
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.rank_budget import allot, cost
from prune_bench.pruning.ranks import Factors, Ranks
from prune_bench.pruning.schedules import OneShot, Polynomial

SHAPES = {"square": torch.Size((8, 8)), "wide": torch.Size((6, 20)), "tall": torch.Size((15, 4))}


def make(seed=0, fixed=0):
    generator = torch.Generator().manual_seed(seed)
    matrices = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    factors = {name: Factors(*factorise(w, min(w.shape))) for name, w in matrices.items()}
    return matrices, Ranks(factors, fixed)


def product(structure, name):
    up, down = structure.pairs[name]
    return up @ down


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.5, 0.7])
def test_the_size_is_met_within_a_component_and_no_matrix_grows(sparsity):
    _, structure = make(fixed=10)
    pruner = Pruner(magnitude, structure, OneShot(sparsity))
    pruner.update(0)
    assert 0 <= pruner.achieved - sparsity < 26 / structure.total + 1e-9
    for name, mask in pruner.masks.items():
        kept = int(mask.sum())
        assert kept <= break_even(SHAPES[name]) or kept == len(mask)


def test_one_matrix_alone_is_its_truncated_decomposition():
    weight = torch.randn(9, 12, generator=torch.Generator().manual_seed(1))
    structure = Ranks({"w": Factors(*factorise(weight, 9))})
    Pruner(magnitude, structure, OneShot(1 - 3 * 21 / 108)).update(0)
    up, down = factorise(weight, 3)
    torch.testing.assert_close(product(structure, "w"), up @ down, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("budget", [70, 100, 120, 150, 180, 210])
def test_no_other_ranks_of_that_price_lose_less(budget):
    """Against every combination: what is found is best among those that take no more than it does."""
    generator = np.random.default_rng(budget)
    draws = {name: np.sort(generator.gamma(0.5, size=min(shape)))[::-1].copy() for name, shape in SHAPES.items()}
    scores = {name: torch.from_numpy(one) for name, one in draws.items()}
    found = allot(scores, SHAPES, budget)
    spent = sum(cost(found[name], SHAPES[name]) for name in found)
    assert spent <= budget

    def lost(counts):
        return sum(float(scores[name][count:].sum()) for name, count in counts.items())

    options = [[*range(1, break_even(shape) + 1), min(shape)] for shape in SHAPES.values()]
    every = [dict(zip(SHAPES, counts, strict=True)) for counts in itertools.product(*options)]
    price = {tuple(counts.values()): sum(cost(counts[n], SHAPES[n]) for n in counts) for counts in every}
    best = min(lost(counts) for counts in every if price[tuple(counts.values())] <= budget)
    # A price a number reaches the hull of the trade-off; single components close most of the rest.
    assert lost(found) <= best + max(float(one.max()) for one in scores.values())


def test_turning_leaves_the_product_and_orders_the_components():
    matrices, structure = make()
    for up, down in structure.pairs.values():
        mixing = torch.randn(up.shape[1], up.shape[1], generator=torch.Generator().manual_seed(2)) + 4 * torch.eye(
            up.shape[1]
        )
        up.copy_(up @ mixing)
        down.copy_(torch.linalg.inv(mixing) @ down)
    scores = structure.scores(lambda name, strengths: magnitude(strengths))
    for name, weight in matrices.items():
        torch.testing.assert_close(product(structure, name), weight, rtol=1e-3, atol=1e-3)
        expected = torch.linalg.svdvals(weight).square()
        torch.testing.assert_close(scores[name], expected, rtol=1e-3, atol=1e-3)


def test_ranks_never_rise_along_a_schedule():
    _, structure = make()
    pruner, ranks = Pruner(magnitude, structure, Polynomial(0.0, 0.7, 0, 40, 4)), []
    generator = torch.Generator().manual_seed(3)
    for step in range(48):
        for up, down in structure.pairs.values():
            for part in (up, down):
                part += 0.01 * torch.randn(part.shape, generator=generator)
        pruner.update(step)
        ranks.append([int(mask.sum()) for mask in pruner.masks.values()])
    assert all(now <= before for pair in itertools.pairwise(ranks) for before, now in zip(*pair, strict=True))
    assert pruner.achieved == pytest.approx(0.7, abs=0.1)


def test_changes_are_those_of_a_gate_on_each_component():
    _, structure = make()
    up, down = structure.pairs["wide"]
    up.requires_grad_()
    gate = torch.ones(6, requires_grad=True)
    x = torch.randn(7, 20, generator=torch.Generator().manual_seed(4))
    (x @ (up * gate @ down).T).square().sum().backward()
    torch.testing.assert_close(dict(structure.changes())["wide"], gate.grad, rtol=1e-4, atol=1e-3)


def test_a_budget_below_one_component_each_is_refused():
    with pytest.raises(Infeasible, match="one component of each matrix"):
        allot({"w": torch.ones(8)}, {"w": torch.Size((8, 8))}, 15)
