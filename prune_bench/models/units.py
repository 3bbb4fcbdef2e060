"""Slices of a layer's parameters by input column and by output row."""

from __future__ import annotations

from torch import nn

from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.units import Slice


def written(name: str, layer: nn.Module, block: int = 1) -> tuple[Slice, ...]:
    """Output rows of a linear or convolution layer, bias included."""
    if isinstance(layer, LowRankLinear):
        return written(f"{name}.up", layer.up, block)
    return vectors(name, layer, block)


def read(name: str, layer: nn.Module, block: int = 1) -> tuple[Slice, ...]:
    """Input columns of a linear or convolution layer."""
    if isinstance(layer, LowRankLinear):
        return read(f"{name}.down", layer.down, block)
    return (Slice(f"{name}.weight", 1, block),)


def vectors(name: str, module: nn.Module, block: int = 1) -> tuple[Slice, ...]:
    """The first dimension of every parameter of a module: entries of a norm, rows of a layer."""
    return tuple(Slice(f"{name}.{parameter}", 0, block) for parameter, _ in module.named_parameters(recurse=False))


def whole(name: str, module: nn.Module) -> tuple[Slice, ...]:
    """Every parameter in and below a module as one unit."""
    return tuple(Slice(f"{name}.{parameter}", 0, len(value)) for parameter, value in module.named_parameters())
