"""Descriptions of what can be removed from a model: plain data that pruning and compaction read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from prune_bench.models.low_rank import LowRankLinear


@dataclass(frozen=True)
class Slice:
    """Where units lie in one parameter: unit j owns entries [j * block, (j + 1) * block) of dimension `dim`."""

    parameter: str
    dim: int
    block: int = 1


@dataclass(frozen=True)
class UnitGroup:
    """`size` units of one kind in one place.

    `outputs` are the entries zeroed while a unit is masked; `inputs` stay alive until compaction deletes both, since
    a unit with both sides at zero has no gradient. Units of a group `within` another exist only where that one keeps
    them too. Parameter names are relative to the module that offers the group.
    """

    name: str
    kind: str
    size: int
    inputs: tuple[Slice, ...]
    outputs: tuple[Slice, ...]
    within: str | None = None

    def prefixed(self, prefix: str) -> UnitGroup:
        """The same group seen from a parent that holds the module under `prefix` (with its dot); names stay."""

        def move(places: Sequence[Slice]) -> tuple[Slice, ...]:
            return tuple(replace(place, parameter=prefix + place.parameter) for place in places)

        return replace(self, inputs=move(self.inputs), outputs=move(self.outputs))


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
