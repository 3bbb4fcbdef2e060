"""(model, masks) -> a smaller dense model of the same class, its outputs equal to the masked one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prune_bench.pruning.gates import effective


def kept_indices(model: Any, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Indices of kept units by group: a unit within another group survives only where both masks keep it."""
    return {name: values.nonzero()[:, 0] for name, values in effective(model.units(), masks).items()}


def compact(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """The model without the units that `masks` remove, in eval mode. Groups that `masks` leaves out stay whole.

    `model` offers `arch`, `units()` and is rebuilt as type(model)(arch). Its weights must already compute the masked
    outputs: output sides zeroed or soft gates folded (normalisation over the kept dims comes with the smaller width).
    """
    source: Any = model
    kept = kept_indices(source, masks)
    small = type(source)(source.arch.keep(kept))
    small.load_state_dict(_sliced(source, kept, small.state_dict().keys()))
    return small.eval()


def _sliced(model: Any, kept: Mapping[str, Tensor], wanted: Any) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if name in wanted}
    for group in model.units():
        for place in (*group.inputs, *group.outputs):
            tensor = state.get(place.parameter)
            if tensor is None or len(kept[group.name]) == group.size:
                continue
            offsets = torch.arange(place.block)
            index = (kept[group.name][:, None] * place.block + offsets).flatten()
            state[place.parameter] = tensor.index_select(place.dim, index)
    return {name: tensor.clone() for name, tensor in state.items()}


def with_ranks(model: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """A factorised model rebuilt from an arch that knows its ranks; a model without an arch is returned as it is."""
    source: Any = model
    if not hasattr(source, "arch"):
        return model
    rebuilt = type(source)(source.arch.with_ranks(ranks))
    rebuilt.load_state_dict({name: tensor.detach().cpu().clone() for name, tensor in source.state_dict().items()})
    return rebuilt.eval()


def largest_difference(first: nn.Module, second: nn.Module, *inputs: Tensor | None) -> float:
    """The largest absolute difference between two models' first outputs, both in eval mode, on the given inputs."""
    outputs = []
    for model in (first, second):
        training = model.training
        with torch.no_grad():
            outputs.append(model.eval()(*inputs)[0])
        model.train(training)
    return float((outputs[0] - outputs[1]).abs().max())
