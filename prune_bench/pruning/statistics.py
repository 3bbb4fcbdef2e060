"""What data say about weights: collected by batches, bounded in memory.

Running statistics take in every batch of the fit and are small enough to travel in checkpoints. The others are made
for one mask at a time by passes over calibration batches, and are made again from the same batches after an
interruption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn

HORIZON = 100  # batches
MOST_BYTES = 8 << 30


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


def found(values: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in values:
        raise ValueError(f"no calibration batch reached {name}: add exclude=[{name!r}], or give other batches")
    return values[name]


def check_room(numbers: int, what: str) -> None:
    if 4 * numbers > MOST_BYTES:
        size, most = 4 * numbers / 2**30, MOST_BYTES >> 30
        raise ValueError(f"{what} take {size:.0f} GiB, more than {most}: lower block or calibration_batches")


def sum_over_ranks(values: Iterable[Tensor]) -> None:
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
