"""How gate values act on a model's activations: forward hooks, so that the model keeps its parameters and names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from prune_bench.pruning.gates import GatedGroup, effective
from prune_bench.pruning.structures import UnitGroup


class GatedUnits(GatedGroup, UnitGroup, Protocol):
    """A unit group that gates can act on."""


def masked_layer_norm(inputs: Tensor, norm: nn.LayerNorm, gate: Tensor, kept: int) -> Tensor:
    """LayerNorm over the `kept` dims whose gate is not zero, the result multiplied by the gate.

    Ordinary statistics would average over the removed dims; these equal the statistics of the smaller model. With the
    kept dims' mean in the place of every removed value, the variance over all dims is kept / all of the wanted one.
    """
    keep, kept = gate > 0, max(kept, 1)
    with torch.autocast(inputs.device.type, enabled=False):
        mean = inputs @ (keep.to(inputs.dtype) / kept)
    filled = torch.where(keep, inputs, mean.unsqueeze(-1))
    share = kept / len(gate)
    weight = norm.weight * gate * math.sqrt(share)
    return F.layer_norm(filled, norm.normalized_shape, weight, norm.bias * gate, norm.eps * share)


class GateHooks:
    """Multiplies every unit's output by its gate while a model runs.

    Where a gate acts is read off the groups' output sides: a column of a weight gates that layer's input, a row its
    output, an entry of a LayerNorm makes it normalise the kept dims only. Features are the last dimension everywhere.
    """

    def __init__(self, model: nn.Module, groups: Sequence[GatedUnits]):
        self.groups = list(groups)
        self.parameters = dict(model.named_parameters())
        self.values: dict[str, Tensor] = {}
        self.kept: dict[str, int] = {}
        self.handles: list[RemovableHandle] = []
        for group in groups:
            for place in group.outputs:
                layer_name, _, parameter = place.parameter.rpartition(".")
                if parameter == "weight":
                    self._attach(model.get_submodule(layer_name), group.name, place.dim, place.block)

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Gate values or 0/1 masks by group; groups left out are open."""
        self.values = effective(self.groups, values)
        self.kept = {name: int((value > 0).sum()) for name, value in self.values.items()}

    def remove(self) -> None:
        """Detach every hook; the model computes as if it had never been gated."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _attach(self, layer: nn.Module, group: str, dim: int, block: int) -> None:
        def gate(like: Tensor) -> Tensor:
            return self.values[group].to(like).repeat_interleave(block)

        def gate_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0] * gate(inputs[0]), *inputs[1:])

        def gate_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            return output * gate(output)

        def gate_norm(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            assert isinstance(layer, nn.LayerNorm)
            return masked_layer_norm(inputs[0], layer, gate(output), self.kept[group])

        if isinstance(layer, nn.LayerNorm):
            self.handles.append(layer.register_forward_hook(gate_norm))
        elif dim == 1:
            self.handles.append(layer.register_forward_pre_hook(gate_input))
        else:
            self.handles.append(layer.register_forward_hook(gate_output))
