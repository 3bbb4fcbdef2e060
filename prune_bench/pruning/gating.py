"""How gate values act on a model while it runs, without a change to its parameters and their names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prune_bench.pruning.gates import effective
from prune_bench.pruning.groups import spread
from prune_bench.pruning.units import Slice, UnitGroup

Place = tuple[str, str, Slice]


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


class Gating:
    """Runs a model as if every unit's output were multiplied by its gate.

    While a layer computes, its parameters on the groups' output sides are multiplied by the gates: what folding does
    for good, and at a cost that does not grow with the batch. A LayerNorm normalises the kept dims only. Features are
    the last dimension everywhere. The model keeps its parameters and their names; a copy of it is gated with its own.
    """

    def __init__(self, model: nn.Module, groups: Sequence[UnitGroup]):
        self.model, self.groups = model, list(groups)
        self.parameters = dict(model.named_parameters())
        self.values: dict[str, Tensor] = {}
        self.kept: dict[str, int] = {}
        places: dict[str, list[Place]] = defaultdict(list)
        for group in groups:
            for place in group.outputs:
                name, _, parameter = place.parameter.rpartition(".")
                places[name].append((parameter, group.name, place))
        self.layers = [model.get_submodule(name) for name in places]
        norms = (name for name in places if isinstance(model.get_submodule(name), nn.LayerNorm))
        self.normalised = {places[name][0][1] for name in norms}  # groups whose kept dims a LayerNorm normalises
        for layer, gated in zip(self.layers, places.values(), strict=True):
            layer.forward = partial(self._run, layer, gated)  # type: ignore[method-assign]

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Gate values or 0/1 masks by group; groups left out are open."""
        like = next(iter(self.parameters.values()))
        gates = effective(self.groups, values)
        self.kept = {name: int(value.count_nonzero()) for name, value in gates.items()}
        self.values = {name: value.to(like) for name, value in gates.items()}

    def remove(self) -> None:
        """The model computes as if it had never been gated."""
        for layer in self.layers:
            del layer.forward
        self.layers = []

    def _run(self, layer: nn.Module, gated: Sequence[Place], *inputs: Any) -> Any:
        if isinstance(layer, nn.LayerNorm):
            _, group, _ = gated[0]
            return masked_layer_norm(inputs[0], layer, self.values[group], self.kept[group])
        parameters: dict[str, Any] = {}
        for name, group, place in gated:
            parameter = parameters.get(name, layer.get_parameter(name))
            parameters[name] = parameter * spread(self.values[group], place, parameter.dim())
        with replaced(layer, parameters):
            return type(layer).forward(layer, *inputs)


@contextmanager
def replaced(layer: nn.Module, parameters: Mapping[str, Any]) -> Iterator[None]:
    """`layer` with other tensors in the place of its parameters."""
    own = {name: layer._parameters[name] for name in parameters}
    layer._parameters.update(parameters)
    try:
        yield
    finally:
        layer._parameters.update(own)
