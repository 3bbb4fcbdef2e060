"""Scores <-> removable units: what every structure offers, and single weights as units.

A structure is bound to one model. `scores` judges its units, `select` turns scores and a sparsity into a MaskSet,
`apply` zeroes what the masks remove, in place, and `achieved` is the removed fraction of the one denominator (see
targets.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from prune_bench.pruning.allocation import Allocation, Ranked
from prune_bench.pruning.criteria import ELEMENTWISE, Criterion
from prune_bench.pruning.masks import MaskSet, Scores, itself

Masks = Mapping[str, Tensor]
NOTHING: Masks = {}


class Structure(Protocol):
    """What `Pruner` needs of a structure. Units that `kept` removes score below all others.

    `most` is the largest fraction that can be removed.
    """

    most: float

    def scores(self, criterion: Criterion, generator: torch.Generator, kept: Masks = NOTHING) -> Ranked: ...

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        """dL/dz at z = 1 of a gate z on each unit, from one batch's gradients; removal changes L by about -dL/dz."""

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> Ranked:
        """Scores from the mean squares of such changes."""

    def select(self, scores: Ranked, sparsity: float) -> MaskSet: ...

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


def score(criterion: Criterion, weight: Tensor, generator: torch.Generator, kept: Tensor | None) -> Scores:
    """Scores of single weights, those that `kept` removes below all others; made in passing where that can be done."""
    if criterion not in ELEMENTWISE:
        return Scores(lambda scores: scores, criterion(weight, weight.grad, generator), kept=kept)
    if weight.grad is None:
        return Scores(lambda weights: criterion(weights, None, None), weight, kept=kept)
    return Scores(lambda weights, gradients: criterion(weights, gradients, None), weight, weight.grad, kept=kept)


class Zeroing:
    """Multiplies parameters by their masks, brought into their shapes once a mask and not once an update."""

    def __init__(self, factors: Callable[[MaskSet], Iterable[tuple[Tensor, Tensor]]]):
        self.factors = factors
        self._masks: MaskSet | None = None
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, masks: MaskSet) -> None:
        if self._masks is not masks:
            self._masks = masks
            self._pairs = [(parameter, factor.to(parameter.device)) for parameter, factor in self.factors(masks)]
        for parameter, factor in self._pairs:
            parameter.data.mul_(factor)


class Weights:
    """Single weights. Exactly round(sparsity * P) of the P target weights go."""

    most = 1.0
    replaced: tuple[Tensor, ...] = ()

    def __init__(self, targets: Mapping[str, Tensor], allocation: Allocation):
        self.targets = dict(targets)
        self.allocation = allocation
        self.total = sum(weight.numel() for weight in self.targets.values())
        self.apply = Zeroing(lambda masks: ((weight, masks[name]) for name, weight in self.targets.items()))

    def scores(self, criterion: Criterion, generator: torch.Generator, kept: Masks = NOTHING) -> Ranked:
        return {name: score(criterion, weight, generator, kept.get(name)) for name, weight in self.targets.items()}

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self.targets.items():
            if weight.grad is not None:
                yield name, weight.detach() * weight.grad

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> Ranked:
        return {name: Scores(itself, square, kept=kept.get(name)) for name, square in squares.items()}

    def select(self, scores: Ranked, sparsity: float) -> MaskSet:
        return self.allocation(scores, round(sparsity * self.total))

    def achieved(self, masks: MaskSet) -> float:
        return masks.sparsity

    def shapes(self) -> dict[str, torch.Size]:
        return {name: weight.shape for name, weight in self.targets.items()}

    def zeroed(self) -> Iterable[Tensor]:
        return self.targets.values()
