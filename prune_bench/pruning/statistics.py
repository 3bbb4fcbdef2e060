"""What data say about weights: collected by batches, bounded in memory.

Running statistics take in every batch of the fit and are small enough to travel in checkpoints. The others are made
for one mask at a time by passes over calibration batches, and are made again from the same batches after an
interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn

from prune_bench.pruning.fisher import inverse_fisher

HORIZON = 100  # batches
MOST_BYTES = 8 << 30
CHUNK = 256  # blocks


class Owner(Protocol):
    """What statistics ask of a structure: its prunable weights, and the layers that they are the weight of."""

    targets: dict[str, Tensor]
    layers: dict[str, nn.Module]


class Statistics:
    """Base of the statistics. `cost` says in words what they take, in memory and in passes.

    `running` ones are fed by `add`; the others by `collect`, whose iterable runs the model on one calibration batch
    an item, with a backward pass where `gradients`.
    """

    cost = ""
    running = False
    gradients = False

    def of(self, name: str, weight: Tensor) -> Tensor:
        """What was collected for one weight tensor, broadcastable to it."""
        raise NotImplementedError

    def collect(self, structure: Owner, batches: Iterable[None]) -> None:
        """Forget what was, and take in calibration batches."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class GradientSquares(Statistics):
    """The mean of (dL/dz)^2 for a gate z on each unit: the squared first-order loss change of removing it (Molchanov et
    al., CVPR 2019).

    Squared batch by batch for single weights and example by example for groups and rank components, whose mean gradient
    over a batch is near zero at convergence (see the benchmark `taylor`). All batches count alike up to `HORIZON`
    of them; from then on the older ones fade.
    """

    cost = "one number a unit; no pass of its own"
    running = True

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}
        self.batches = 0

    @torch.no_grad()
    def add(self, changes: Iterable[tuple[str, Tensor]], scale: float = 1.0) -> None:
        """Take in one batch's dL/dz by name, of a loss `scale` times too large."""
        share = self._next_share()
        for name, change in changes:
            square = self.squares[name] = self.squares.get(name, torch.zeros_like(change)).to(change.device)
            square.mul_(1 - share).addcmul_(change, change, value=share / scale**2)

    @torch.no_grad()
    def add_examples(self, changes: Iterable[tuple[str, Tensor]], scale: float = 1.0) -> None:
        """Take in each example's dL/dz, (examples, units) by name, of their mean loss `scale` times too large."""
        share = self._next_share()
        for name, change in changes:
            mean = (change * (len(change) / scale)).square().mean(0)
            square = self.squares[name] = self.squares.get(name, torch.zeros_like(mean)).to(change.device)
            square.lerp_(mean, share)

    def _next_share(self) -> float:
        """The weight of the next batch in the means."""
        self.batches += 1
        return 1 / min(self.batches, HORIZON)

    def means(self) -> dict[str, Tensor]:
        """The mean squares by name. ValueError before the first batch."""
        if not self.batches:
            raise ValueError("the Taylor criterion has seen no gradient yet: draw its mask after some updates, at > 0")
        return self.squares

    def of(self, name: str, weight: Tensor) -> Tensor:
        means = self.means()
        return means[name] if name in means else torch.zeros_like(weight)

    def state_dict(self) -> dict[str, Any]:
        return {"squares": self.squares, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.squares, self.batches = state["squares"], state["batches"]


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
        _sum_over_ranks(self.squares.values())

    def _take(self, name: str, inputs: Tensor) -> None:
        total = inputs.square().sum(0)
        self.squares[name] = self.squares[name] + total if name in self.squares else total

    def of(self, name: str, weight: Tensor) -> Tensor:
        return _found(self.squares, name).sqrt()


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
        _check_room(self.block * sum(weight.shape[-1] for weight in structure.targets.values()), "input Hessians")
        with inputs_of(structure, self._take):
            for _ in batches:
                pass
        _sum_over_ranks(self.products.values())

    def _take(self, name: str, inputs: Tensor) -> None:
        parts = in_blocks(inputs, self.block).transpose(0, 1)
        product = parts.transpose(1, 2) @ parts
        self.products[name] = self.products[name] + product if name in self.products else product

    def inverses(self, name: str) -> Tensor:
        """(blocks, block, block) inverses. An input that was always zero costs nothing and gets a unit diagonal."""
        product = _found(self.products, name).double()
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
        found: dict[str, list[Tensor]] = {name: [] for name in structure.targets}
        weights, count = sum(weight.numel() for weight in structure.targets.values()), 0
        for count, _ in enumerate(batches, start=1):
            _check_room(count * weights, "gradient samples")
            for name, weight in structure.targets.items():
                grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                found[name].append(torch.where(weight == 0, 0.0, grad).detach().flatten())
        self.samples = mean_over_ranks({name: torch.stack(each) for name, each in found.items() if count})

    def inverses(self, name: str) -> Iterator[Tensor]:
        """(n, block, block) inverses, `CHUNK` blocks at a time."""
        blocks = in_blocks(_found(self.samples, name), self.block).transpose(0, 1)
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


def _found(values: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in values:
        raise ValueError(f"no calibration batch reached {name}: add exclude=[{name!r}], or give other batches")
    return values[name]


def _check_room(numbers: int, what: str) -> None:
    if 4 * numbers > MOST_BYTES:
        size, most = 4 * numbers / 2**30, MOST_BYTES >> 30
        raise ValueError(f"{what} take {size:.0f} GiB, more than {most}: lower block or calibration_batches")


def _sum_over_ranks(values: Iterable[Tensor]) -> None:
    if distributed.is_available() and distributed.is_initialized():
        for value in values:
            distributed.all_reduce(value)


def mean_over_ranks(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean of each tensor over the processes of a fit."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return dict(values)
    means = {name: value / distributed.get_world_size() for name, value in values.items()}
    for mean in means.values():
        distributed.all_reduce(mean)
    return means
