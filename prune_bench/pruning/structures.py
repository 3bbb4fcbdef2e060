"""Scores <-> removable units: what every structure offers, and single weights as units.

A structure is bound to one model. `scores` judges its units, `select` turns scores and a sparsity into a MaskSet,
`apply` zeroes what the masks remove, in place, and `achieved` is the removed fraction of the one denominator (see
targets.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from prune_bench.pruning.allocation import GLOBAL, Allocation, Ranked
from prune_bench.pruning.examples import ExampleGradients
from prune_bench.pruning.masks import MaskSet, Scores

Masks = Mapping[str, Tensor]
NOTHING: Masks = {}


Score = Callable[[str, Tensor], Tensor | Scores]


class Structure(Protocol):
    """What `Pruner` needs of a structure. Units that `kept` removes score below all others.

    `most` is the largest fraction that can be removed, `grain` that of the largest unit; `targets` are the prunable
    weights by name and `layers` the modules that own them.
    """

    most: float
    grain: float
    targets: dict[str, Tensor]
    layers: dict[str, nn.Module]

    def scores(self, score: Score, kept: Masks = NOTHING) -> Ranked:
        """Scores of units from `score`, which gives those of single weights by name and tensor."""

    def watch(self) -> ExampleGradients | None:
        """Begin to take the gradients of units' gates example by example; None where a batch's say more."""

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        """dL/dz at z = 1 of a gate z on each unit, from one batch's gradients; removal changes L by about -dL/dz."""

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> Ranked:
        """Scores from the mean squares of such changes."""

    def select(self, scores: Ranked, sparsity: float) -> MaskSet: ...

    def factors(self, masks: Masks) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter that the masks set to zero in part, with what multiplies it, in a shape that does."""

    def apply(self, masks: MaskSet) -> None: ...

    def achieved(self, masks: MaskSet) -> float: ...

    def shapes(self) -> dict[str, torch.Size]: ...

    def zeroed(self) -> Iterable[Tensor]: ...

    @property
    def replaced(self) -> Iterable[Tensor]:
        """What was given other values in judging, so that an optimizer's memory of it is of no use."""


def lower(scores: Mapping[str, Tensor], kept: Masks) -> dict[str, Tensor]:
    """Scores with those that `kept` removes below all others, so that what is gone stays gone."""
    return {
        name: s.masked_fill(~kept[name].to(s.device), -math.inf) if name in kept else s for name, s in scores.items()
    }


def whole(scores: Tensor | Scores) -> Tensor:
    """All scores of a tensor at once."""
    return scores if isinstance(scores, Tensor) else scores.part(slice(None)).view(scores.shape)


def _square(squares: Mapping[str, Tensor], name: str, weight: Tensor) -> Tensor:
    """The mean square by name, zero for a weight that the loss does not depend on. ValueError for a frozen one."""
    if name not in squares and not weight.requires_grad:
        raise ValueError(f"{name} is frozen and got no gradient to rank it by: exclude it, or rank by magnitude")
    return squares.get(name, torch.zeros_like(weight))


class Zeroing:
    """Multiplies parameters by their masks, which are brought into shape and to the device once and not every update.

    `factors` gives parameters and their masks.
    """

    def __init__(self, factors: Callable[[Masks], Iterable[tuple[Tensor, Tensor]]]):
        self.factors = factors
        self._masks: Masks | None = None
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, masks: Masks) -> None:
        if self._masks is not masks:
            self._masks, self._pairs = masks, list(self.factors(masks))
        for number, (parameter, factor) in enumerate(self._pairs):
            if factor.device != parameter.device:  # a fit's module moves after its last update
                factor = factor.to(parameter.device)
                self._pairs[number] = parameter, factor
            parameter.data.mul_(factor)

    def __getstate__(self) -> dict[str, object]:
        return {"factors": self.factors, "_masks": None, "_pairs": []}


class Weights:
    """Single weights. Exactly round(sparsity * P) of the P target weights go."""

    most = 1.0
    replaced: tuple[Tensor, ...] = ()

    def __init__(
        self,
        targets: Mapping[str, Tensor],
        allocation: Allocation = GLOBAL,
        layers: Mapping[str, nn.Module] = MappingProxyType({}),
    ):
        self.targets, self.allocation, self.layers = dict(targets), allocation, dict(layers)
        self.total = sum(weight.numel() for weight in self.targets.values())
        self.grain = 1 / self.total
        self.apply = Zeroing(self.factors)

    def scores(self, score: Score, kept: Masks = NOTHING) -> Ranked:
        return {name: Scores.of(score(name, weight), kept.get(name), name) for name, weight in self.targets.items()}

    def watch(self) -> None:
        return None

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self.targets.items():
            if weight.grad is not None:
                yield name, weight.detach() * weight.grad

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> Ranked:
        return {
            name: Scores.of(_square(squares, name, weight), kept.get(name), name)
            for name, weight in self.targets.items()
        }

    def select(self, scores: Ranked, sparsity: float) -> MaskSet:
        return self.allocation.weights(scores, round(sparsity * self.total))

    def factors(self, masks: Masks) -> Iterator[tuple[Tensor, Tensor]]:
        return ((weight, masks[name]) for name, weight in self.targets.items())

    def achieved(self, masks: MaskSet) -> float:
        return masks.sparsity

    def shapes(self) -> dict[str, torch.Size]:
        return {name: weight.shape for name, weight in self.targets.items()}

    def zeroed(self) -> Iterable[Tensor]:
        return self.targets.values()
