"""The fast layers compute what PyTorch's own do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prune_bench.models.layers import DepthwiseConv, Dropout, TimeConv, attend


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "groups"), [
    (6, 8, 5, 1, 1), (6, 8, 11, 4, 1), (8, 8, 3, 1, 8), (8, 8, 15, 1, 8), (8, 8, 1, 1, 8),
])  # fmt: skip
def test_convolution_equals_conv1d(inputs, outputs, kernel, stride, groups):
    torch.manual_seed(0)
    ours = DepthwiseConv(inputs, kernel) if groups > 1 else TimeConv(inputs, outputs, kernel, stride)
    plain = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(3, 13, inputs, requires_grad=True)
    y, expected = ours(x), plain(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(y)
    gradients = torch.autograd.grad((y * weights).sum(), [x, ours.weight, ours.bias])
    references = torch.autograd.grad((expected * weights).sum(), [x, plain.weight, plain.bias])
    for gradient, reference in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-4, rtol=1e-4)


def test_depthwise_is_the_same_without_gradients():
    layer, x = DepthwiseConv(8, 5), torch.randn(2, 9, 8)
    with torch.no_grad():
        expected = layer(x)
    torch.testing.assert_close(layer(x), expected)


def test_depthwise_under_mixed_precision():
    torch.manual_seed(0)
    layer, x = DepthwiseConv(8, 5), torch.randn(2, 9, 8, requires_grad=True)
    (exact,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    (rough,) = torch.autograd.grad(y.float().square().sum(), layer.weight)
    assert (y.dtype, rough.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    layer, x = Dropout(p), torch.ones(500, 501, requires_grad=True)
    output = layer(x)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    y = output.detach()
    share = round(256 * p) / 256
    assert float((y == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(y.max()) == pytest.approx(1 / (1 - share), rel=1e-6)
    assert float(y.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(gradient, y)


def test_dropout_is_drawn_from_the_global_seed_and_off_in_eval():
    layer, x = Dropout(0.3), torch.randn(7, 11)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(layer(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize("how", [{}, {"mask": True}, {"causal": True}], ids=("whole", "masked", "causal"))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_and_its_gradients_are_the_librarys(how, dtype):
    torch.manual_seed(0)
    exact = [torch.randn(2, 3, 7, 4, dtype=torch.float64, requires_grad=True) for _ in "qkv"]
    mask = -1e4 * (torch.rand(2, 1, 7, 7) < 0.3) if "mask" in how else None
    causal, weights = how.get("causal", False), torch.randn(2, 3, 7, 4, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*exact, None if mask is None else mask.double(), is_causal=causal)
    references = torch.autograd.grad((expected * weights).sum(), exact)
    inputs = [x.detach().to(dtype).requires_grad_() for x in exact]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        mixed = attend(*inputs, None if mask is None else mask.to(dtype), causal)
    assert mixed.dtype == dtype
    gradients = torch.autograd.grad((mixed.double() * weights).sum(), inputs)
    close = 1e-5 if dtype == torch.float32 else 0.05
    for found, reference in zip((mixed, *gradients), (expected, *references), strict=True):
        torch.testing.assert_close(found.double(), reference, atol=close, rtol=close)
