from __future__ import annotations

import pytest
import torch
from torch import nn

from prune_bench.pruning.criteria import fisher, gate_gradient, gradient, hessian, magnitude, random, wanda


def test_magnitude_and_random():
    weight = torch.tensor([-3.0, 0.5])
    assert magnitude(weight).tolist() == [3.0, 0.5]
    draws = [random(weight, None, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_growth_goes_by_the_last_gradient_and_needs_one():
    weight = torch.tensor([2.0, 0.0], requires_grad=True)
    with pytest.raises(ValueError, match="needs the last batch's gradient"):
        gradient(weight)
    (weight * torch.tensor([1.0, -3.0])).sum().backward()
    assert gradient(weight).tolist() == [1.0, 3.0]


def test_scores_with_statistics_by_hand():
    weight = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    assert wanda(weight, torch.tensor([2.0, 10.0])).tolist() == [[2.0, 20.0], [6.0, 5.0]]
    assert fisher(weight, torch.full((2, 2), 0.5)).tolist() == [[1.0, 4.0], [9.0, 0.25]]
    assert hessian(weight, torch.tensor([0.5, 1.0])).tolist() == [[1.0, 2.0], [9.0, 0.125]]


@pytest.mark.parametrize("block", [1, 2])
def test_gate_gradient_identity(block):
    torch.manual_seed(0)
    first, second = nn.Linear(5, 6), nn.Linear(6, 3)
    gate = torch.ones(6 // block, requires_grad=True)
    hidden = torch.nn.functional.silu(first(torch.randn(8, 5))) * gate.repeat_interleave(block)
    second(hidden).square().sum().backward()
    torch.testing.assert_close(gate_gradient(second.weight, second.weight.grad, dim=1, block=block), gate.grad)


def test_gate_gradient_of_rank_components():
    up = torch.randn(4, 3, requires_grad=True)
    down = torch.randn(3, 5, requires_grad=True)
    gate = torch.ones(3, requires_grad=True)
    (torch.randn(7, 5) @ (up * gate @ down).T).square().sum().backward()
    torch.testing.assert_close(gate_gradient(up, up.grad, dim=1), gate.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(gate_gradient(down, down.grad, dim=0), gate.grad, rtol=1e-4, atol=1e-3)
