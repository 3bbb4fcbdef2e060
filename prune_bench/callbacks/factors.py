"""Factorised layers inside a fit: put in place, and kept apart from the keys of checkpoints.

Checkpoints of a factorised module have the dense model's keys, with the products as values, so that a plain
`load_from_checkpoint` gives the model that was validated. The factors themselves travel beside them, and a dense
checkpoint loads into a factorised module by SVD.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor, nn

from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.layers import is_transposed
from prune_bench.pruning.low_rank import factorise
from prune_bench.pruning.targets import find_core, find_targets

FACTORS, EXPORTED = "low_rank_factors", "low_rank_exported"


def find_matrices(module: nn.Module, choice: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The linear layers by name whose weights are targets, and how many target weights belong to none.

    Raises:
        ValueError: there is no such layer, or a matrix holds NaN or infinite values.
    """
    core, targets = find_core(module), find_targets(module, **choice)
    owners: dict[str, Any] = {name.rpartition(".")[0]: core.get_submodule(name.rpartition(".")[0]) for name in targets}
    layers = {name: one for name, one in owners.items() if is_linear(one) and one.weight.numel()}
    if not layers:
        raise ValueError(f"no target is the matrix of a linear layer, which factors need: {', '.join(targets)}")
    for name, layer in layers.items():
        if not layer.weight.isfinite().all():
            raise ValueError(f"{name}.weight holds NaN or infinite values: the model diverged before it was factorised")
    return layers, sum(p.numel() for p in targets.values()) - sum(one.weight.numel() for one in layers.values())


def factorise_layers(module: nn.Module, ranks: Mapping[str, int]) -> None:
    """Put the best approximations of these ranks in the place of linear layers, wherever their matrices are used.

    Layers that share a matrix share its factors, and factors of a frozen layer are frozen.

    Raises:
        ValueError: a matrix serves an embedding too.
    """
    core = find_core(module)
    for name, rank in ranks.items():
        chosen: Any = core.get_submodule(name)
        users = [(path, layer) for path, layer in core.named_modules(remove_duplicate=False) if _uses(layer, chosen)]
        if other := next((path for path, layer in users if not is_linear(layer)), None):
            raise ValueError(f"{name} shares its matrix with {other}, which cannot be factorised: exclude {name}")
        first = factorised(chosen, rank)
        twins = {chosen: first} | {layer: _sharing(first, layer) for _, layer in users if layer is not chosen}
        for path, layer in users:
            put(core, path, twins[layer])
    module.register_state_dict_post_hook(_write_products)
    module.register_load_state_dict_pre_hook(_read_products)


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer computes the product with one matrix, plus a bias."""
    return isinstance(layer, nn.Linear) or is_transposed(layer)


def _uses(layer: Any, chosen: Any) -> bool:
    return getattr(layer, "_parameters", {}).get("weight") is chosen.weight


def _sharing(first: LowRankLinear, layer: Any) -> LowRankLinear:
    """A layer of the same factors with a bias of its own."""
    twin = LowRankLinear.of(first.up.weight, first.down.weight, layer.bias, first.transposed)
    twin.up.weight, twin.down.weight = first.up.weight, first.down.weight
    return twin


def factorised(layer: Any, rank: int) -> LowRankLinear:
    """The best approximation of a linear layer by one of that rank, frozen where the layer is."""
    transposed = is_transposed(layer)
    up, down = factorise(layer.weight.T if transposed else layer.weight, rank)
    made = LowRankLinear.of(up, down, layer.bias, transposed)
    made.requires_grad_(layer.weight.requires_grad)
    if layer.bias is not None:
        made.bias.requires_grad_(layer.bias.requires_grad)
    return made.train(layer.training)


def put(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the submodule of that name."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)


def factor_layers(module: nn.Module) -> Iterator[tuple[str, LowRankLinear]]:
    """The factorised layers in `module`, under each of their names."""
    for path, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, LowRankLinear):
            yield path, layer


def name_factors(module: nn.Module) -> nn.Module:
    """`module` with the keys of its factors from now on, which a fit keeps apart: exporters find parameters by key."""
    setattr(module, EXPORTED, True)
    return module


def _write_products(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    if hasattr(module, EXPORTED):
        return
    for path, layer in factor_layers(module):
        up = state.get(f"{prefix}{path}.up.weight")
        if up is None or up is layer.up.weight:  # written by another callback before; or a tracer wants the parameters
            continue
        del state[f"{prefix}{path}.up.weight"]
        del state[f"{prefix}{path}.down.weight"]
        state[f"{prefix}{path}.weight"] = layer.weight.detach()
        if layer.bias is not None:
            state[f"{prefix}{path}.bias"] = state.pop(f"{prefix}{path}.up.bias")


def _read_products(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if hasattr(module, EXPORTED):
        return
    for path, layer in factor_layers(module):
        product = state.pop(f"{prefix}{path}.weight", None)
        if product is None:
            continue
        up, down = factorise(product.T if layer.transposed else product, layer.down.out_features)
        state |= {f"{prefix}{path}.up.weight": up, f"{prefix}{path}.down.weight": down}
        if f"{prefix}{path}.bias" in state:
            state[f"{prefix}{path}.up.bias"] = state.pop(f"{prefix}{path}.bias")


def save_factors(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Add the factors of `module` to a checkpoint, if it has any."""
    if factors := dict(_factors(module)):
        checkpoint[FACTORS] = factors


@torch.no_grad()
def load_factors(module: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Take the very factors that a checkpoint was saved with, where it has some.

    Raises:
        ValueError: they are of other ranks.
    """
    saved = checkpoint.get(FACTORS, {})
    for name, factor in _factors(module):
        if name in saved and saved[name].shape != factor.shape:
            raise ValueError(
                f"the checkpoint holds {name} as {tuple(saved[name].shape)} and this fit as {tuple(factor.shape)}: "
                "resume with the sparsity that it was saved at, or load its weights and fit without ckpt_path"
            )
        if name in saved:
            factor.copy_(saved[name])


def _factors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, layer in factor_layers(module):
        yield f"{path}.up.weight", layer.up.weight
        yield f"{path}.down.weight", layer.down.weight


def forget_moments(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Replace the optimizer states of a dense fit's checkpoint, whose moments are of matrices that the factorised
    module no longer has, by those of fresh optimizers with the saved rates and options."""
    warnings.warn("the checkpoint is of a dense fit: the optimizer's moments start afresh", stacklevel=2)
    fresh = [optimizer.state_dict() for optimizer in trainer.optimizers]
    for old, new in zip(checkpoint["optimizer_states"], fresh, strict=True):
        pairs = zip(old["param_groups"], new["param_groups"], strict=True)
        new["param_groups"] = [{**before, "params": group["params"]} for before, group in pairs]
    checkpoint["optimizer_states"] = fresh
