"""How gate values act on a model's activations: forward hooks, so that the model keeps its parameters and names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
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
    kept = max(kept, 1)
    share = kept / len(gate)
    weight = norm.weight * (gate * math.sqrt(share))
    keep = (gate > 0).to(inputs.dtype)
    return _MaskedLayerNorm.apply(inputs, weight, norm.bias * gate, keep, keep / kept, norm.eps * share)


class _MaskedLayerNorm(torch.autograd.Function):
    """LayerNorm after filling what is not kept with the mean of what is: `keep` is 0 or 1, `average` weighs the mean.

    By hand, because autograd would keep and pass over several tensors of the inputs' size.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, keep: Tensor, average: Tensor, eps: float
    ) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            filled = torch.addcmul(inputs * keep, (inputs @ average).unsqueeze(-1), 1 - keep)
        output, mean, scale = torch.native_layer_norm(filled, weight.shape, weight, bias, eps)
        ctx.save_for_backward(filled, mean, scale, weight, bias, keep, average)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        filled, mean, scale, weight, bias, keep, average = ctx.saved_tensors
        by_filled, by_weight, by_bias = torch.ops.aten.native_layer_norm_backward(
            gradients[0], filled, weight.shape, mean, scale, weight, bias, [True, True, True]
        )
        by_mean = (by_filled @ (1 - keep)).unsqueeze(-1)
        return torch.addcmul(by_filled * keep, by_mean, average), by_weight, by_bias, None, None, None


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
        self.factors: dict[tuple[str, int, torch.dtype], Tensor] = {}
        self.handles: list[RemovableHandle] = []
        for group in groups:
            for place in group.outputs:
                layer_name, _, parameter = place.parameter.rpartition(".")
                if parameter == "weight":
                    self._attach(model.get_submodule(layer_name), group.name, place.dim, place.block)

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Gate values or 0/1 masks by group; groups left out are open."""
        self.values = effective(self.groups, values)
        self.kept = {name: int(value.count_nonzero()) for name, value in self.values.items()}
        self.factors = {}

    def remove(self) -> None:
        """Detach every hook; the model computes as if it had never been gated."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _attach(self, layer: nn.Module, group: str, dim: int, block: int) -> None:
        def gate(like: Tensor) -> Tensor:
            key = group, block, like.dtype
            if key not in self.factors:
                units = self.values[group].to(like)
                self.factors[key] = units if block == 1 else units.repeat_interleave(block)
            return self.factors[key]

        def gate_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0] * gate(inputs[0]), *inputs[1:])

        def gate_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            return output * gate(output)

        def gate_norm(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            assert isinstance(layer, nn.LayerNorm)
            return masked_layer_norm(inputs[0], layer, self.values[group].to(output.device), self.kept[group])

        if isinstance(layer, nn.LayerNorm):
            self.handles.append(layer.register_forward_hook(gate_norm))
        elif dim == 1:
            self.handles.append(layer.register_forward_pre_hook(gate_input))
        else:
            self.handles.append(layer.register_forward_hook(gate_output))
