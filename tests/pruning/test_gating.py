"""LayerNorm under gates."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prune_bench.pruning.gating import masked_layer_norm

WIDTH = 20


@pytest.fixture
def norm():
    torch.manual_seed(0)
    norm = nn.LayerNorm(WIDTH).double()
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("removed", [0, 1, 7, 19])
def test_masked_norm_equals_the_norm_of_the_smaller_model(norm, removed):
    gate = torch.rand(WIDTH, dtype=torch.double) + 0.1
    gate[torch.randperm(WIDTH)[:removed]] = 0.0
    kept = gate > 0
    inputs = torch.randn(3, 5, WIDTH, dtype=torch.double) * 4 + 1
    found = masked_layer_norm(inputs, norm, gate, WIDTH - removed)
    smaller = F.layer_norm(inputs[..., kept], (WIDTH - removed,), norm.weight[kept], norm.bias[kept], norm.eps)
    torch.testing.assert_close(found[..., kept], smaller * gate[kept])
    assert not found[..., ~kept].any()


def test_masked_norm_sends_no_gradient_to_what_is_removed(norm):
    gate = torch.rand(WIDTH, dtype=torch.double) + 0.1
    gate[:6] = 0.0
    inputs = torch.randn(3, 5, WIDTH, dtype=torch.double, requires_grad=True)
    masked_layer_norm(inputs, norm, gate, WIDTH - 6).square().sum().backward()
    assert not inputs.grad[..., :6].any()
    assert inputs.grad[..., 6:].all()


def test_masked_norm_of_nothing_is_zero(norm):
    assert not masked_layer_norm(torch.randn(2, WIDTH, dtype=torch.double), norm, norm.weight * 0, 0).any()
