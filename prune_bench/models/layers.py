"""Layers that compute what PyTorch's own do, faster on a CPU for the small tensors of one training step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TimeConv(nn.Module):
    """Convolution over time of (batch, frames, channels), with the parameters and padding of an odd nn.Conv1d."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        layer = nn.Conv1d(inputs, outputs, kernel, groups=groups)
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.groups = stride, groups

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.groups)


class DepthwiseConv(TimeConv):
    """One kernel a channel."""

    def __init__(self, channels: int, kernel: int):
        super().__init__(channels, channels, kernel, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_grad_enabled():
            return _Depthwise.apply(x, self.weight, self.bias)
        return super().forward(x)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution over the middle dimension of x, handed over as a channels-last image of height one: no copies."""
    image, padding = x.transpose(1, 2).unsqueeze(2), (0, weight.shape[-1] // 2)
    return F.conv2d(image, weight.unsqueeze(2), bias, (1, stride), padding, groups=groups).squeeze(2).transpose(1, 2)


class _Depthwise(torch.autograd.Function):
    """Depthwise `convolve` with a weight gradient tap by tap, several times faster than the library's on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, bias, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        taps, frames = weight.shape[-1], x.shape[1]
        padded = F.pad(x, (0, 0, taps // 2, taps // 2))
        products = [(padded[:, k : k + frames] * gradient).sum((0, 1), dtype=weight.dtype) for k in range(taps)]
        by_input = convolve(gradient, weight.flip(-1).to(gradient.dtype), None, groups=len(weight))
        by_bias = gradient.sum((0, 1), dtype=weight.dtype)
        return by_input.to(x.dtype), torch.stack(products, -1).unsqueeze(1), by_bias


class Positions(nn.Module):
    """The positions of torchaudio's wav2vec 2.0, which a convolution reads off the stream.

    Trained on a CPU it takes an image of height one: the gradient of a grouped convolution is twice as fast then.
    """

    def __init__(self, positions: Any):
        super().__init__()
        self.conv, self.dropped = positions.conv, positions.num_remove

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) to the same shape."""
        read = self.read if x.device.type == "cpu" and torch.is_grad_enabled() else self.conv
        positions = read(x.transpose(1, 2))
        return F.gelu(positions[..., : positions.shape[-1] - self.dropped]).transpose(1, 2)

    def read(self, x: Tensor) -> Tensor:
        conv, image = self.conv, x.unsqueeze(2)
        read = F.conv2d(image, conv.weight.unsqueeze(2), conv.bias, padding=(0, *conv.padding), groups=conv.groups)
        return read.squeeze(2)


class Attention(nn.Module):
    """torchaudio's attention in wav2vec 2.0, its layers in any size; without heads the bias of its output is left."""

    k_proj: nn.Linear
    v_proj: nn.Linear
    q_proj: nn.Linear
    out_proj: nn.Linear

    def __init__(self, attention: Any):
        super().__init__()
        self.embed_dim, self.dropout = attention.embed_dim, attention.dropout
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            setattr(self, name, getattr(attention, name).requires_grad_(self.num_heads > 0 or name == "out_proj"))

    def forward(self, x: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> tuple[Tensor, None]:
        if self.num_heads == 0:
            return self.out_proj.bias.expand_as(x), None
        layers, shape = (self.q_proj, self.k_proj, self.v_proj), (self.num_heads, self.head_dim)
        query, key, value = (layer(x).unflatten(-1, shape).transpose(1, 2) for layer in layers)
        mixed = attend(query, key, value, attention_mask, dropout=self.dropout if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


class Dropout(nn.Module):
    """Dropout with a probability rounded to a multiple of 1/256.

    On a CPU nn.Dropout's random numbers cost more than the matrix products around it; a byte an element is enough.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = min(255, max(1, round(256 * self.p)))
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
        kept = drawn.clamp_(dropped - 1, dropped).sub_(dropped - 1)
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled-dot-product attention of (batch, heads, places, width), `mask` added to its scores.

    A CPU trains it in single precision: PyTorch's backward pass in 16 bits takes two to four times as long there.
    """
    how: dict[str, Any] = {"dropout_p": dropout, "is_causal": causal}
    if query.device.type != "cpu" or query.dtype == torch.float32 or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, mask, **how)
    with torch.autocast("cpu", enabled=False):
        wide = None if mask is None else mask.float()
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), wide, **how).to(query.dtype)
