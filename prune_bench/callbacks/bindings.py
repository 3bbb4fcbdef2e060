"""What a fit does for each structure: prepare the module, bind the structure to it, export what is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from prune_bench.callbacks.factors import factor_layers, factorise_layers, find_matrices, name_factors, put
from prune_bench.compaction import compact, with_ranks
from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.allocation import Allocation
from prune_bench.pruning.groups import Groups, owners
from prune_bench.pruning.ranks import Factors, Ranks
from prune_bench.pruning.structures import Structure, Weights
from prune_bench.pruning.targets import find_core, find_targets

Choice = Mapping[str, Any]


class Binding(Protocol):
    """One structure on the modules of one callback; `choice` are the arguments of `find_targets`."""

    choice: Choice

    def prepare(self, module: nn.Module) -> None:
        """Change the module before its optimizer is made; a second time changes nothing."""

    def bind(self, module: nn.Module) -> Structure:
        """The structure of that module. ValueError where it has none."""

    def export(self, model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
        """The model to keep when `masks` hold."""


class OnWeights:
    """Single weights of any module, masked."""

    def __init__(self, choice: Choice, allocation: Allocation):
        self.choice, self.allocation = choice, allocation

    def prepare(self, module: nn.Module) -> None:
        pass

    def bind(self, module: nn.Module) -> Structure:
        targets = find_targets(module, **self.choice)
        return Weights(targets, self.allocation, owners(find_core(module), targets))

    def export(self, model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
        return model


class OnGroups:
    """Groups of a model that offers `units()`, deleted in the end."""

    def __init__(self, choice: Choice, kinds: tuple[str, ...], score_side: str):
        self.choice, self.kinds, self.score_side = choice, kinds, score_side

    def prepare(self, module: nn.Module) -> None:
        pass

    def bind(self, module: nn.Module) -> Structure:
        core: Any = find_core(module)
        if not hasattr(core, "units"):
            raise ValueError(f"{type(core).__name__} offers no units(): use structure='weights'")
        groups = [group for group in core.units() if group.kind in self.kinds]
        return Groups(core, find_targets(module, **self.choice), groups, self.score_side)

    def export(self, model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
        return compact(model, masks)


class OnRanks:
    """Components of Linear layers, which are factorised at full rank at the start; in the end thin factors are left
    where they are smaller, and the matrix where not."""

    def __init__(self, choice: Choice, allocation: Allocation):
        self.choice, self.allocation = choice, allocation
        self.names: list[str] = []
        self.fixed = 0

    def prepare(self, module: nn.Module) -> None:
        made = {name for name, _ in factor_layers(find_core(module))}
        if self.names and made.issuperset(self.names):
            return
        layers, self.fixed = find_matrices(module, self.choice)
        factorise_layers(module, {name: min(layer.weight.shape) for name, layer in layers.items()})
        self.names = list(layers)

    def bind(self, module: nn.Module) -> Structure:
        if not self.names:
            raise ValueError("rank components are made when a fit begins: no mask of other weights can choose them")
        core = find_core(module)
        layers: dict[str, Any] = {name: core.get_submodule(name) for name in self.names}
        factors = {name: Factors(layer.up.weight, layer.down.weight) for name, layer in layers.items()}
        return Ranks(factors, self.fixed, self.allocation, {name: layer.up for name, layer in layers.items()})

    def export(self, model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
        small, ranks = copy.deepcopy(model), {}
        for name, mask in masks.items():
            layer: Any = small.get_submodule(name)
            put(small, name, merged(layer) if bool(mask.all()) else narrowed(layer, mask))
            if not mask.all():
                ranks[name] = int(mask.sum())
        return name_factors(with_ranks(small, ranks)).eval()


def bind_structure(
    structure: str, choice: Choice, allocation: Allocation, kinds: tuple[str, ...], score_side: str
) -> Binding:
    """What a fit does for the structure of that name."""
    if structure in ("weights", "weights+biases"):
        return OnWeights({**choice, "biases": structure != "weights"}, allocation)
    if structure == "ranks":
        return OnRanks(choice, allocation)
    return OnGroups(choice, ("heads",) if structure == "heads" else kinds, score_side)


@torch.no_grad()
def merged(layer: LowRankLinear) -> nn.Linear:
    """The dense layer that two factors stand for."""
    up, down = layer.up, layer.down
    dense = nn.Linear(down.in_features, up.out_features, bias=up.bias is not None).to(up.weight)
    dense.weight.copy_(up.weight @ down.weight)
    if up.bias is not None:
        dense.bias.copy_(up.bias)
    return dense


def narrowed(layer: LowRankLinear, mask: Tensor) -> LowRankLinear:
    """The same layer with the components that `mask` keeps alone."""
    kept = mask.to(layer.up.weight.device)
    return LowRankLinear.of(layer.up.weight[:, kept], layer.down.weight[kept], layer.up.bias, layer.transposed)
