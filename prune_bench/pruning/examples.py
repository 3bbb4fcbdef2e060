"""Gradients of unit gates, example by example: what a mean over a batch hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from prune_bench.pruning.units import Slice


class Reader(NamedTuple):
    """A Linear layer whose weight has the output side of `size` units, each `block` wide, along dimension `dim`."""

    module: nn.Linear
    size: int
    dim: int
    block: int


class ExampleGradients:
    """dL/dz at z = 1 of a gate z on every unit, for every example of the batches since the last `take`.

    The gate's derivative is the sum over positions of what the gate multiplies times its gradient: of the inputs of a
    Linear layer where units lie along its input dimension (the inputs' gradient through this layer alone), of its
    outputs where they lie along the other. The first dimension of activations is the example.

    The gradient of a batch's mean loss is the mean of the examples' gradients, which at convergence is mostly noise:
    the square of the mean does not rank units, the mean of the squares does.
    """

    def __init__(self, readers: Mapping[str, Sequence[Reader]]):
        self.found: dict[str, list[Tensor]] = {}
        self._handles = [
            reader.module.register_forward_hook(partial(self._watch, name, reader))
            for name, each in readers.items()
            for reader in each
        ]

    def take(self) -> Iterator[tuple[str, Tensor]]:
        """(examples, units) by name; forgets them."""
        found, self.found = self.found, {}
        for name, parts in found.items():
            yield name, torch.cat(parts)

    def release(self) -> None:
        """Leave the modules as they were."""
        for handle in self._handles:
            handle.remove()

    def _watch(self, name: str, reader: Reader, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            held = inputs[0].detach() if reader.dim == 1 else output.detach()
            output.register_hook(partial(self._add, name, reader, held))

    @torch.no_grad()
    def _add(self, name: str, reader: Reader, held: Tensor, gradient: Tensor) -> None:
        if reader.dim == 1:
            gradient = gradient @ reader.module.weight.to(gradient.dtype)
        product = (held.float() * gradient.float()).flatten(1, -2).sum(1) if held.dim() > 2 else held * gradient
        self.found.setdefault(name, []).append(product.view(len(product), reader.size, reader.block).sum(2))


def find_readers(model: nn.Module, places: Sequence[Slice], size: int) -> list[Reader]:
    """The layers that hold a group's output side.

    Raises:
        ValueError: one is not a Linear layer.
    """
    readers = []
    for place in places:
        owner, _, parameter = place.parameter.rpartition(".")
        module: Any = model.get_submodule(owner)
        if parameter != "weight":
            continue
        if not isinstance(module, nn.Linear):
            raise ValueError(f"{owner} is a {type(module).__name__}: gates are differentiated through Linear layers")
        readers.append(Reader(module, size, place.dim, place.block))
    return readers
