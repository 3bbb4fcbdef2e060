from __future__ import annotations

import pytest
import torch

from prune_bench.pruning import Infeasible
from prune_bench.pruning.low_rank import break_even, factorise, uniform_ranks


def test_error_is_the_norm_of_the_dropped_singular_values():
    weight = torch.randn(12, 20, dtype=torch.float64)
    values = torch.linalg.svdvals(weight)
    for rank in (1, 5, 11):
        up, down = factorise(weight, rank)
        assert float((weight - up @ down).norm()) == pytest.approx(float(values[rank:].square().sum().sqrt()))


def test_full_rank_is_the_identity():
    weight = torch.randn(12, 20)
    up, down = factorise(weight, 12)
    torch.testing.assert_close(up @ down, weight, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(144, 144), (512, 1024), (7, 3)])
def test_break_even_is_the_last_rank_that_saves(shape):
    rank = break_even(torch.Size(shape))
    assert rank * sum(shape) < shape[0] * shape[1]
    assert (rank + 1) * sum(shape) >= shape[0] * shape[1]


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.9])
def test_uniform_ranks_fill_the_budget_and_grow_no_matrix(sparsity):
    shapes = {f"w{i}": torch.Size(shape) for i, shape in enumerate([(144, 576), (576, 144), (144, 144), (288, 144)])}
    total = sum(shape.numel() for shape in shapes.values())
    budget = round((1 - sparsity) * total)
    ranks = uniform_ranks(shapes, budget)
    used = sum(rank * sum(shapes[name]) for name, rank in ranks.items())
    assert budget - max(sum(shape) for shape in shapes.values()) < used <= budget
    assert all(rank <= break_even(shapes[name]) for name, rank in ranks.items())


def test_small_matrices_take_their_one_rank_from_the_others():
    sides = {"large": (40, 40), "wide": (40, 20), "small": (4, 4), "thin": (2, 30)}
    shapes = {name: torch.Size(side) for name, side in sides.items()}
    # Shares of 255 are ranks of 2.06, 1.37, 0.21 and 0.19: with one each at least, 2, 1, 1 and 1 hold 260.
    assert uniform_ranks(shapes, 255) == {"large": 1, "wide": 2, "small": 1, "thin": 1}
    assert uniform_ranks(shapes, 260) == {"large": 2, "wide": 1, "small": 1, "thin": 1}
    assert uniform_ranks(shapes, 180) == dict.fromkeys(shapes, 1)
    with pytest.raises(Infeasible, match="rank 1 in 4 matrices takes more than the 179 weights"):
        uniform_ranks(shapes, 179)


def test_a_budget_that_saves_nothing_is_refused():
    with pytest.raises(ValueError, match="cannot factorise"):
        uniform_ranks({"w": torch.Size((4, 4))}, 16)
