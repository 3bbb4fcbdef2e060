"""What may be pruned, and the one denominator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

Patterns = Sequence[str]


def find_core(module: nn.Module) -> nn.Module:
    """The first submodule that describes its own prunable parts (`block_matrices()`), else `module` itself."""
    return next((child for child in module.modules() if hasattr(child, "block_matrices")), module)


def find_targets(
    module: nn.Module,
    include: Patterns = (),
    exclude: Patterns = (),
    convolutions: bool = False,
    biases: bool = False,
) -> dict[str, Tensor]:
    """The prunable weights of `module` by name: the denominator of every sparsity.

    A model that offers `block_matrices()` decides itself (the weight matrices of its encoder blocks). On any other
    module: the weights of Linear layers except the first and the last one, which carry input and output; with
    `convolutions`, those of convolutions too. `include` and `exclude` are shell patterns over parameter names
    (`*attention*`); `include` overrides the rule for first and last layers. With `biases` those of the chosen layers
    are prunable as well.

    Raises:
        ValueError: nothing matches, or a matched weight is parametrised (weight norm, torch's own pruning).
    """
    core: Any = find_core(module)
    parameters = dict(core.named_parameters())
    names = core.block_matrices() if hasattr(core, "block_matrices") else list(_layer_weights(core, convolutions))
    if include:
        names = [name for name in names if _matches(name, include)]
    elif core is module and not hasattr(core, "block_matrices"):
        names = names[1:-1]
    names = [name for name in names if not _matches(name, exclude)]
    if not names:
        raise ValueError(
            f"nothing to prune in {type(module).__name__}: no weight matches include={list(include)} "
            f"exclude={list(exclude)}; by default Linear weights but the first and last (convolutions=True adds more)"
        )
    if biases:
        names = with_biases(names, parameters)
    for name in names:
        layer = core.get_submodule(name.rpartition(".")[0])
        if name not in parameters or is_parametrized(layer) or hasattr(layer, "weight_g"):
            raise ValueError(f"{name} is parametrised and cannot be pruned in place: add exclude=[{name!r}]")
    return {name: parameters[name] for name in names}


def with_biases(weights: Sequence[str], parameters: Mapping[str, Tensor]) -> list[str]:
    """Names of weights, then of the biases beside them."""
    paired = (f"{name.removesuffix('weight')}bias" for name in weights if name.endswith("weight"))
    return [*weights, *(name for name in paired if name in parameters)]


def _layer_weights(module: nn.Module, convolutions: bool) -> Iterator[str]:
    kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d) if convolutions else (nn.Linear,)
    for name, layer in module.named_modules():
        if isinstance(layer, kinds):
            yield f"{name}.weight" if name else "weight"


def _matches(name: str, patterns: Patterns) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(name.removesuffix(".weight"), pattern) for pattern in patterns)
