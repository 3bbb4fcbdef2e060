"""Conformer encoder with relative positions (Gulati et al., Interspeech 2020; positions of Dai et al., ACL 2019).

Every width is per layer and per module, so that a pruned and compacted encoder is the same class. `lengths=None`
stands for no padding. In eval mode an utterance's output does not depend on the others of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prune_bench.models.arch import ConformerArch, LayerArch
from prune_bench.models.conformer_units import conformer_units
from prune_bench.models.costs import cost_terms
from prune_bench.models.layers import DepthwiseConv, Dropout, TimeConv
from prune_bench.models.low_rank import make_linear
from prune_bench.pruning.units import CostTerm, UnitGroup

Ranks = Mapping[str, int]
MASKED = -3e4


class FeedForward(nn.Module):
    """LayerNorm, widen, SiLU, narrow: (batch, frames, inputs) -> (batch, frames, outputs)."""

    def __init__(self, inputs: int, inner: int, outputs: int, dropout: float, ranks: Ranks):
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.up = make_linear(inputs, inner, ranks.get("up"))
        self.down = make_linear(inner, outputs, ranks.get("down"))
        self.dropout = Dropout(dropout)
        self.inputs, self.inner = inputs, inner
        if inner == 0:
            freeze_except(self, "down")

    def forward(self, x: Tensor) -> Tensor:
        if self.inner == 0:
            return self.down.bias
        x = self.up(self.norm(x)) if self.inputs else self.up.bias
        return self.dropout(self.down(self.dropout(F.silu(x))))


class RelativeAttention(nn.Module):
    """Self-attention over local dims with Transformer-XL relative positions and its two biases `u` and `v`."""

    def __init__(self, width: int, heads: int, head_width: int, position_width: int, dropout: float, ranks: Ranks):
        super().__init__()
        inner = heads * head_width
        self.norm = nn.LayerNorm(width)
        self.query = make_linear(width, inner, ranks.get("query"))
        self.key = make_linear(width, inner, ranks.get("key"))
        self.value = make_linear(width, inner, ranks.get("value"))
        self.position = make_linear(position_width, inner, ranks.get("position"), bias=False)
        self.out = make_linear(inner, width, ranks.get("out"))
        self.u = nn.Parameter(torch.zeros(heads, head_width))
        self.v = nn.Parameter(torch.zeros(heads, head_width))
        self.dropout = Dropout(dropout)
        self.heads, self.head_width = heads, head_width
        if heads == 0:
            freeze_except(self, "out")

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        """`positions` are `sinusoids` of the frames of x (batch, frames, width); `padding` is (batch, frames)."""
        if self.heads == 0:
            return self.out.bias
        x = self.norm(x)
        query, key, value = (self._by_head(layer(x)) for layer in (self.query, self.key, self.value))
        scores = self._position_scores(query, positions)
        content = (query + self.u[:, None, None]).flatten(0, 1)
        scale = 1 / math.sqrt(self.head_width)
        scores = torch.baddbmm(scores, content, key.flatten(0, 1).transpose(1, 2), beta=scale, alpha=scale)
        scores = scores.unflatten(0, (self.heads, -1))
        if padding is not None:
            scores = scores + MASKED * padding[:, None].to(scores.dtype)
        weights = self.dropout(scores.softmax(-1)).flatten(0, 1)
        mixed = torch.bmm(weights, value.flatten(0, 1)).unflatten(0, (self.heads, -1))
        return self.dropout(self.out(mixed.permute(1, 2, 0, 3).flatten(2)))

    def _by_head(self, x: Tensor) -> Tensor:
        """(batch, frames, inner) -> (heads, batch, frames, head_width)."""
        return x.unflatten(-1, (self.heads, self.head_width)).permute(2, 0, 1, 3)

    def _position_scores(self, query: Tensor, positions: Tensor) -> Tensor:
        """Scores (heads * batch, frames, frames) by the offset of two frames.

        Row t of `scores` starts at the offset `frames`; the wanted row starts at the offset t. Dropping the first
        `frames` entries of the flattened rows, then reading rows shorter by one, shifts each row by one more entry.
        """
        frames = positions.shape[0] // 2
        offsets = self.position(positions).unflatten(-1, (self.heads, self.head_width)).permute(1, 2, 0)
        scores = torch.bmm((query + self.v[:, None, None]).flatten(1, 2), offsets)
        scores = scores.unflatten(1, (-1, frames)).flatten(2)
        return scores[..., frames:].unflatten(-1, (frames, 2 * frames - 1))[..., :frames].flatten(0, 1)


class Convolution(nn.Module):
    """Gated pointwise, depthwise over time, BatchNorm, SiLU, pointwise."""

    def __init__(self, width: int, channels: int, kernel: int, dropout: float, ranks: Ranks):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pointwise1 = make_linear(width, 2 * channels, ranks.get("pointwise1"))
        self.depthwise = DepthwiseConv(channels, kernel)
        self.batch_norm = nn.BatchNorm1d(channels)
        self.pointwise2 = make_linear(channels, width, ranks.get("pointwise2"))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        x = F.glu(self.pointwise1(self.norm(x)))
        if padding is not None:
            x = x * padding[..., None].logical_not().to(x.dtype)
        x = self.depthwise(x)
        x = self.batch_norm(x.flatten(0, 1)).view_as(x)
        return self.dropout(self.pointwise2(F.silu(x)))


class Layer(nn.Module):
    """Half FFN, attention, convolution, half FFN, LayerNorm.

    The first FFN reads the whole stream and hands over to the local dims, where attention and convolution live; the
    second returns to the whole stream. Dims outside the local set pass unchanged.
    """

    hidden: Tensor | None
    merged: Tensor

    def __init__(self, arch: ConformerArch, layer: LayerArch, dropout: float):
        super().__init__()
        local = layer.local_width(arch.width)
        self.ffn1 = FeedForward(arch.width, layer.ffn1, local, dropout, _below(layer.ranks, "ffn1"))
        self.attention = RelativeAttention(
            local, layer.heads, arch.head_width, arch.position_width, dropout, _below(layer.ranks, "attention")
        )
        self.conv = (
            Convolution(local, layer.conv, arch.kernel, dropout, _below(layer.ranks, "conv")) if layer.conv else None
        )
        self.ffn2 = FeedForward(local, layer.ffn2, arch.width, dropout, _below(layer.ranks, "ffn2"))
        self.norm = nn.LayerNorm(arch.width)
        hidden = None if layer.hidden is None else torch.tensor(layer.hidden, dtype=torch.long)
        self.register_buffer("hidden", hidden, persistent=False)
        if hidden is not None:
            merged = torch.arange(local, local + arch.width)
            merged[hidden] = torch.arange(local)
            self.register_buffer("merged", merged, persistent=False)

        self.local = local
        if local == 0:
            for module in (self.ffn1, self.attention, *([self.conv] if self.conv else [])):
                module.requires_grad_(False)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        h = x if self.hidden is None else x.index_select(-1, self.hidden)
        if self.local:
            h = torch.add(h, self.ffn1(x), alpha=0.5)
            h = h + self.attention(h, positions, padding)
            if self.conv is not None:
                h = h + self.conv(h, padding)
            x = h if self.hidden is None else torch.cat((h, x), -1).index_select(-1, self.merged)
        return self.norm(torch.add(x, self.ffn2(h), alpha=0.5))


class FrontEnd(nn.Module):
    """Two convolutions over time: (batch, frames, mels) -> (batch, ceil(frames / subsampling), width)."""

    def __init__(self, mels: int, inner: int, width: int, subsampling: int):
        super().__init__()
        self.reduce = TimeConv(mels, inner, 11, stride=subsampling)
        self.project = TimeConv(inner, width, 3)
        self.subsampling = subsampling

    def forward(self, features: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if lengths is not None:
            features = features.masked_fill(beyond(lengths, features.shape[1])[..., None], 0.0)
        x = F.silu(self.reduce(features))
        if lengths is not None:
            lengths = (lengths - 1) // self.subsampling + 1
            x = x.masked_fill(beyond(lengths, x.shape[1])[..., None], 0.0)
        return self.project(x), lengths


class Conformer(nn.Module):
    """Front end and layers: (batch, frames, mels) features to (batch, shorter, width) and the shortened lengths."""

    def __init__(self, arch: ConformerArch, dropout: float = 0.0):
        super().__init__()
        self.arch = arch
        self.front_end = FrontEnd(arch.mels, arch.position_width, arch.width, arch.subsampling)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(Layer(arch, layer, dropout) for layer in arch.layers)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x, lengths = self.front_end(features, lengths)
        padding = None if lengths is None else beyond(lengths, x.shape[1])
        return self.blocks(self.dropout(x), padding), lengths

    def blocks(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """The layers alone: (batch, frames, width) to the same shape; `padding` is true beyond an utterance's end."""
        positions = sinusoids(x.shape[1], self.arch.position_width, x)
        for layer in self.layers:
            x = layer(x, positions, padding)
        return x

    def block_matrices(self) -> list[str]:
        """Names of the weight matrices of the layers, depthwise kernels included: what sparsity is a fraction of."""
        return [name for name, p in self.named_parameters() if _is_block_matrix(name, p)]

    def units(self) -> list[UnitGroup]:
        """The removable units; see conformer_units."""
        return conformer_units(self)

    def cost_terms(self, quantity: str, frames: int) -> list[CostTerm]:
        """The cost of the layers as a function of kept units; see prune_bench.models.costs."""
        return cost_terms(self.arch, quantity, frames, {group.name for group in self.units()})


def beyond(lengths: Tensor, frames: int) -> Tensor:
    """(batch, frames) mask, true past each utterance's end."""
    return torch.arange(frames, device=lengths.device) >= lengths[:, None]


def sinusoids(frames: int, width: int, like: Tensor) -> Tensor:
    """(2 * frames, width) encodings of the offsets frames, ..., -(frames - 1) between two frames, query minus key."""
    offsets = torch.arange(frames, -frames, -1, device=like.device, dtype=torch.float32)
    steps = torch.arange(0, width, 2, device=like.device, dtype=torch.float32)
    angles = offsets[:, None] * torch.exp(steps * (-math.log(10000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :width].to(like.dtype)


def freeze_except(module: nn.Module, name: str) -> None:
    """Leave only the biases of one child trainable: the rest of a module without channels is never used."""
    for parameter_name, parameter in module.named_parameters():
        parameter.requires_grad_(parameter_name.startswith(name) and parameter_name.endswith("bias"))


def _is_block_matrix(name: str, parameter: Tensor) -> bool:
    return name.startswith("layers.") and name.endswith(".weight") and parameter.dim() > 1


def _below(ranks: Ranks, module: str) -> dict[str, int]:
    """The ranks of one module's own layers."""
    prefix = f"{module}."
    return {name.removeprefix(prefix): rank for name, rank in ranks.items() if name.startswith(prefix)}
