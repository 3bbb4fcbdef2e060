from __future__ import annotations

import pytest
import torch
from torch import nn

from prune_bench.pruning.criteria import gate_gradient, magnitude, random, taylor


def test_magnitude_and_random():
    weight = torch.tensor([-3.0, 0.5])
    assert magnitude(weight).tolist() == [3.0, 0.5]
    draws = [random(weight, None, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_taylor_is_the_squared_product_and_needs_a_gradient():
    weight, gradient = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    assert taylor(weight, gradient).tolist() == [1.0, 9.0]
    with pytest.raises(ValueError, match="gradient"):
        taylor(weight, None)


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
