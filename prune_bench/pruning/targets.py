"""What may be pruned, and the one denominator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from prune_bench.pruning.layers import input_layers, list_layers, output_layers, plain

Patterns = str | Sequence[str]


@dataclass
class Matrix:
    """A parameter of two dimensions or more.

    `names` are several where layers share it; `computed_by` says what makes it of other tensors at each forward pass
    (`weight` is then the largest of these), `left_out` why it is no target by default.
    """

    names: list[str]
    weight: Tensor
    computed_by: str
    left_out: str = ""

    def matches(self, pattern: str) -> bool:
        return any(fnmatchcase(form, pattern) for name in self.names for form in (name, name.removesuffix(".weight")))

    def __str__(self) -> str:
        return f"{self.names[0]} shared with {', '.join(self.names[1:])}" if self.names[1:] else self.names[0]


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
    module they are the matrices of linear, attention and recurrent layers, with `convolutions` of convolutions too,
    except those that are frozen, adapters, or the input and output of the network: the layers outside of blocks that
    are named so (`embed...`, `input...`, `lm_head`, `classifier`, ...) or have a width that no other layer writes or
    reads, and failing these the first and the last one registered.

    `include` and `exclude` are one or several shell patterns over parameter names, with or without `.weight`
    (`*attention*`). `include` takes any matrix that it matches in place of those above, embeddings only where a
    pattern matches nothing else. A matrix that layers share is one target, under its first name, and an embedding if
    it serves as one. In a PEFT model the frozen base counts as trained, through its adapters, which fill its
    zeros when they are merged into it. With `biases` those of the chosen layers are prunable as well.

    Raises:
        ValueError: nothing is left to prune, a pattern matches no matrix, a chosen matrix is computed from others
            (weight norm, torch's own pruning), or a lazy layer has no shape yet.
    """
    core: Any = find_core(module)
    matrices = list_matrices(core)
    names = _choose(core, matrices, include, exclude, convolutions)
    if not names:
        raise ValueError(
            f"nothing to prune in {type(module).__name__}: left out: {_reasons(matrices.values())}. "
            "include=['*name*'] takes any matrix, convolutions=True those of convolutions"
        )
    _check_stored({name: matrices[name] for name in names})
    if biases:
        parameters = {plain(name): parameter for name, parameter in core.named_parameters()}
        return {name: parameters[name] for name in with_biases(names, parameters)}
    return {name: matrices[name].weight for name in names}


def _choose(
    core: Any, matrices: Mapping[str, Matrix], include: Patterns, exclude: Patterns, convolutions: bool
) -> list[str]:
    """Names of the matrices that patterns choose of those offered, and without patterns the default."""
    if hasattr(core, "block_matrices"):
        offered = {name: matrices[name] for name in core.block_matrices()}
        default = list(offered)
    else:
        offered, kinds = dict(matrices), ("", "convolution") if convolutions else ("",)
        default = [name for name, matrix in matrices.items() if matrix.left_out in kinds]
    included = _match(offered, include, "include", spare="embedding") if include else default
    excluded = _match(matrices, exclude, "exclude")
    return [name for name in offered if name in included and name not in excluded]


def _check_stored(matrices: Mapping[str, Matrix]) -> None:
    """Raise ValueError for matrices that are computed from others, which pruning in place would not change."""
    computed = {name: matrix.computed_by for name, matrix in matrices.items() if matrix.computed_by}
    if computed:
        raise ValueError(
            f"{', '.join(f'{name} (by {how})' for name, how in computed.items())}: computed from other tensors at each "
            f"forward pass, so it cannot be pruned in place: undo that first, or add exclude={list(computed)!r}"
        )


def describe_coverage(module: nn.Module, targets: Iterable[str]) -> str:
    """One line on the share of all weight matrices of `module` that `targets` hold, and what is left out and why."""
    matrices, names = list_matrices(find_core(module)), set(targets)
    held = [matrix.weight.numel() for name, matrix in matrices.items() if name in names]
    total = sum(matrix.weight.numel() for matrix in matrices.values())
    left = [matrix for name, matrix in matrices.items() if name not in names]
    line = f"targets {len(held)} of {len(matrices)} weight matrices, {sum(held) / total:.1%} of the weights in them"
    return f"{line}; left out: {_reasons(left)}" if left else line


def with_biases(weights: Sequence[str], parameters: Mapping[str, Tensor]) -> list[str]:
    """Names of weights, then of the biases beside them."""
    paired = (bias_name(name) for name in weights)
    return [*weights, *(name for name in paired if name in parameters and name not in weights)]


def bias_name(weight: str) -> str:
    """The bias beside a weight: `a.bias` of `a.weight`, `bias_ih_l0` of `weight_ih_l0`."""
    path, dot, leaf = weight.rpartition(".")
    return path + dot + leaf.replace("weight", "bias")


def list_matrices(core: nn.Module) -> dict[str, Matrix]:
    """All parameters of at least two dimensions but those of norms, each once, by its first name."""
    found: dict[int, Matrix] = {}
    for path, owner in core.named_modules(remove_duplicate=False):
        if "parametrizations" in path.split(".") or type(owner).__name__.endswith("Norm"):
            continue
        for leaf, tensor, computed_by in _tensors(owner):
            name = plain(f"{path}.{leaf}") if path else leaf
            if is_lazy(tensor):
                raise ValueError(f"{name} has no shape yet (a lazy layer): pass one batch through the module first")
            if tensor.dim() > 1 and tensor.is_floating_point():
                found.setdefault(id(tensor), Matrix([], tensor, computed_by)).names.append(name)
    matrices = {matrix.names[0]: matrix for matrix in found.values()}
    _explain(core, matrices)
    return matrices


def _tensors(owner: nn.Module) -> Iterator[tuple[str, Tensor, str]]:
    """The parameters of one module, and what computes those that it makes of others."""
    if is_parametrized(owner):
        for leaf, parts in owner.parametrizations.items():  # type: ignore[union-attr,operator]
            stored = max(chain(parts.parameters(recurse=False), parts.buffers(recurse=False)), key=Tensor.numel)
            yield leaf, stored, type(parts[0]).__name__.lstrip("_")
    held = dict(owner.named_parameters(recurse=False, remove_duplicate=False))
    for leaf, parameter in held.items():
        stem, _, ending = leaf.rpartition("_")
        if ending == "orig":
            pruned = f"{stem}_mask" in dict(owner.named_buffers(recurse=False))
            yield stem, parameter, "torch.nn.utils.prune" if pruned else "spectral_norm"
        elif ending == "v" and f"{stem}_g" in held:
            yield stem, parameter, "weight_norm"
        elif not (ending == "g" and f"{stem}_v" in held):
            yield leaf, parameter, ""


def _explain(core: nn.Module, matrices: Mapping[str, Matrix]) -> None:
    """Say of each matrix why it is no target by default, if it is none."""
    layers = list_layers(core)
    kinds = {name: layer.kind for layer in layers for name in layer.weights}
    ends = {"input": input_layers(layers), "output": output_layers(layers)}
    places = {name: end for end, found in ends.items() for layer in found for name in layer.weights}
    modules = [(plain(path), module) for path, module in core.named_modules()]
    peft = [path for path, module in modules if hasattr(module, "peft_config")]
    wrapped = [path for path, module in modules if hasattr(module, "base_layer") or hasattr(module, "original_module")]
    training = any(parameter.requires_grad for parameter in core.parameters())
    for matrix in matrices.values():
        names = matrix.names
        known = {kinds[name] for name in names if name in kinds}
        adapters = [path for path in wrapped if _lies_in(names[0], path, but="base_layer")]
        frozen = training and not matrix.weight.requires_grad and not any(_lies_in(names[0], path) for path in peft)
        reasons = {
            "embedding": "embedding" in known or (not known and any(_sounds_embedded(name) for name in names)),
            "adapter": bool(adapters),
            "frozen": frozen,
            **{end: any(places.get(name) == end for name in names) for end in ends},
            "convolution": "convolution" in known,
            "of no known layer": not known,
        }
        matrix.left_out = next((reason for reason, holds in reasons.items() if holds), "")


def _sounds_embedded(name: str) -> bool:
    """Whether a parameter outside of layers is an embedding by its name: positions, tokens."""
    return any(word in name.rpartition(".")[2] for word in ("embed", "pos", "token"))


def _lies_in(name: str, path: str, but: str = "") -> bool:
    inside = not path or name.startswith(f"{path}.")
    return inside and not (but and name.startswith(f"{path}.{but}."))


def _match(matrices: Mapping[str, Matrix], patterns: Patterns, option: str, spare: str = "-") -> set[str]:
    """Names of what the patterns match. Matrices left out as `spare` are only for a pattern that matches no other."""
    matched: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = {name: matrix for name, matrix in matrices.items() if matrix.matches(pattern)}
        if not found:
            near = get_close_matches(pattern.strip("*"), matrices, 3, 0.4) or list(matrices)[:3]
            raise ValueError(f"{option}={pattern!r} matches no weight matrix; near names: {', '.join(near)}")
        matched |= {name for name, matrix in found.items() if matrix.left_out != spare} or set(found)
    return matched


def _reasons(matrices: Iterable[Matrix]) -> str:
    """As in "input (a.weight), frozen (b.weight, c.weight and 7 more)"."""
    grouped: dict[str, list[str]] = {}
    for matrix in matrices:
        grouped.setdefault(matrix.left_out or "not chosen", []).append(str(matrix))
    parts = (
        f"{reason} ({', '.join(names[:2])}{f' and {len(names) - 2} more' if names[2:] else ''})"
        for reason, names in grouped.items()
    )
    return ", ".join(parts) or "no weight matrices at all"
