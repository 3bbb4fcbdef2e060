"""Statistics of calibration batches: norms and products of inputs, and gradients of single batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prune_bench.pruning.fisher import inverse_fisher
from prune_bench.pruning.statistics import Owner, Statistics, check_room, found, mean_over_ranks, sum_over_ranks

CHUNK = 256  # blocks


class InputNorms(Statistics):
    """||x_j||_2 of every input j of a layer, over all positions of the calibration batches."""

    cost = "one number an input; one forward pass a calibration batch"

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}

    def collect(self, structure: Owner, batches: Iterable[None]) -> None:
        self.squares = {}
        with inputs_of(structure, self._take):
            for _ in batches:
                pass
        sum_over_ranks(self.squares.values())

    def _take(self, name: str, inputs: Tensor) -> None:
        total = inputs.square().sum(0)
        self.squares[name] = self.squares[name] + total if name in self.squares else total

    def of(self, name: str, weight: Tensor) -> Tensor:
        return found(self.squares, name).sqrt()


class InputHessians(Statistics):
    """X X^T of a layer's inputs, in blocks of `block` consecutive inputs, with `damping` times its mean diagonal added.

    `of` is the diagonal of the inverse, one number an input; `inverses` the inverse blocks.
    """

    cost = "`block` numbers an input; one forward pass a calibration batch"

    def __init__(self, block: int = 128, damping: float = 1e-2) -> None:
        self.block, self.damping = block, damping
        self.products: dict[str, Tensor] = {}

    def collect(self, structure: Owner, batches: Iterable[None]) -> None:
        self.products = {}
        check_room(self.block * sum(weight.shape[-1] for weight in structure.targets.values()), "input Hessians")
        with inputs_of(structure, self._take):
            for _ in batches:
                pass
        sum_over_ranks(self.products.values())

    def _take(self, name: str, inputs: Tensor) -> None:
        parts = in_blocks(inputs, self.block).transpose(0, 1)
        product = parts.transpose(1, 2) @ parts
        self.products[name] = self.products[name] + product if name in self.products else product

    def inverses(self, name: str) -> Tensor:
        """(blocks, block, block) inverses. An input that was always zero costs nothing and gets a unit diagonal."""
        product = found(self.products, name).double()
        diagonal = product.diagonal(dim1=1, dim2=2)
        dead = torch.where(diagonal == 0, torch.ones_like(diagonal), self.damping * diagonal.mean())
        return torch.linalg.inv(product + torch.diag_embed(dead))

    def of(self, name: str, weight: Tensor) -> Tensor:
        diagonal = self.inverses(name).diagonal(dim1=1, dim2=2).flatten()
        return diagonal[: weight.shape[-1]].to(weight.dtype)


class GradientSamples(Statistics):
    """Gradients of the loss on single calibration batches, for the inverse empirical Fisher matrix in blocks of
    `block` consecutive weights of a tensor.

    `of` is the diagonal of the inverse, of the weight's shape; `inverses` the inverse blocks, a few at a time.
    """

    cost = "one copy of the prunable weights, and one forward and backward pass, a calibration batch"
    gradients = True

    def __init__(self, block: int = 128, damping: float = 1e-4) -> None:
        self.block, self.damping = block, damping
        self.samples: dict[str, Tensor] = {}

    def collect(self, structure: Owner, batches: Iterable[None]) -> None:
        each: dict[str, list[Tensor]] = {name: [] for name in structure.targets}
        weights, count = sum(weight.numel() for weight in structure.targets.values()), 0
        for count, _ in enumerate(batches, start=1):
            check_room(count * weights, "gradient samples")
            for name, weight in structure.targets.items():
                grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                each[name].append(torch.where(weight == 0, 0.0, grad).detach().flatten())
        self.samples = mean_over_ranks({name: torch.stack(parts) for name, parts in each.items() if count})

    def inverses(self, name: str) -> Iterator[Tensor]:
        """(n, block, block) inverses, `CHUNK` blocks at a time."""
        blocks = in_blocks(found(self.samples, name), self.block).transpose(0, 1)
        for part in blocks.split(CHUNK):
            yield inverse_fisher(part.double(), self.damping)

    def of(self, name: str, weight: Tensor) -> Tensor:
        diagonal = torch.cat([inverse.diagonal(dim1=1, dim2=2).flatten() for inverse in self.inverses(name)])
        return diagonal[: weight.numel()].view(weight.shape).to(weight.dtype)


def in_blocks(values: Tensor, block: int) -> Tensor:
    """(n, d) -> (n, blocks, block), padded with zeros."""
    return nn.functional.pad(values, (0, -values.shape[1] % block)).view(len(values), -1, block)


@contextmanager
def inputs_of(structure: Owner, take: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Pass the inputs of each layer, as (positions, inputs) in single precision, to `take` while the model runs.

    Raises:
        ValueError: a target is not the weight of a Linear layer.
    """

    def hook(name: str, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        take(name, arguments[0].detach().float().flatten(0, -2))

    handles = []
    for name in structure.targets:
        layer = structure.layers.get(name)
        if not isinstance(layer, nn.Linear) or not name.endswith("weight"):
            raise ValueError(f"{name} is not the weight of a Linear layer: add exclude=[{name!r}]")
        handles.append(layer.register_forward_pre_hook(partial(hook, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
