"""Rank components of factorised matrices as units (arXiv 2310.03424's incremental low-rank layers, reconstructed).

A matrix of a x b numbers stands as up @ down with min(a, b) components. With k of them left it costs k (a + b)
numbers, or a b, as it was, where that is less: such a matrix loses nothing, for removals before the break-even cost
accuracy and save nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import Ranked
from prune_bench.pruning.criteria import Criterion, gate_gradient
from prune_bench.pruning.low_rank import break_even, factorise
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.structures import NOTHING, Masks, lower

HALVINGS = 60


class Factors(NamedTuple):
    """`up` (a, r) and `down` (r, b), whose product is the matrix."""

    up: Tensor
    down: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the product."""
        return torch.Size((self.up.shape[0], self.down.shape[1]))


class Ranks:
    """Components of all `factors`, ranked together; `fixed` target weights belong to no matrix and stay.

    Magnitude ranks by singular values: each time it judges, factors are turned into those of the product's own
    decomposition, which leaves the product as it is. With the others they stay as trained.
    """

    def __init__(self, factors: Mapping[str, Factors], fixed: int = 0):
        self.factors, self.fixed = dict(factors), fixed
        self.replaced: list[Tensor] = []
        self.total = fixed + sum(pair.shape.numel() for pair in self.factors.values())
        self.most = 1 - (fixed + sum(cost(1, pair.shape) for pair in self.factors.values())) / self.total

    def scores(self, criterion: Criterion, generator: torch.Generator, kept: Masks = NOTHING) -> dict[str, Tensor]:
        """Squared strengths: dropping components of orthogonal factors costs their sum in squared error."""
        if kept:
            self.apply(MaskSet(kept))
        self.turn()
        strengths = {name: up.norm(dim=0) * down.norm(dim=1) for name, (up, down) in self.factors.items()}
        scores = {name: criterion(one.detach(), None, generator).square() for name, one in strengths.items()}
        # Strongest first: what was removed has become the last ones.
        return lower(scores, {name: mask.sort(descending=True).values for name, mask in kept.items()})

    @torch.no_grad()
    def turn(self) -> None:
        """Replace all factors by balanced ones with orthogonal components, strongest first."""
        for up, down in self.factors.values():
            new_up, new_down = factorise(up @ down, up.shape[1])
            up.copy_(new_up)
            down.copy_(new_down)
        self.replaced = list(self.zeroed())

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        for name, (up, _) in self.factors.items():
            if up.grad is not None:
                yield name, gate_gradient(up, up.grad, 1)

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> dict[str, Tensor]:
        return lower(squares, kept)

    def select(self, scores: Ranked, sparsity: float) -> MaskSet:
        """The components whose removal costs least for what it saves, at most one component short of the budget."""
        held = {name: one for name, one in scores.items() if isinstance(one, Tensor)}
        shapes = {name: self.factors[name].shape for name in held}
        budget = self.total - round(sparsity * self.total) - self.fixed
        alive = {name: one[one.isfinite()].double().cpu() for name, one in held.items()}
        counts = allot(alive, shapes, budget)
        return MaskSet({name: strongest(one, counts[name]) for name, one in held.items()})

    def apply(self, masks: MaskSet) -> None:
        for name, (up, down) in self.factors.items():
            factor = masks[name].to(up.device, up.dtype)
            up.data.mul_(factor)
            down.data.mul_(factor[:, None])

    def achieved(self, masks: MaskSet) -> float:
        counts = {name: int(mask.sum()) for name, mask in masks.items()}
        held = sum(cost(count, self.factors[name].shape) for name, count in counts.items())
        return 1 - (self.fixed + held) / self.total

    def shapes(self) -> dict[str, torch.Size]:
        return {name: torch.Size((up.shape[1],)) for name, (up, _) in self.factors.items()}

    def zeroed(self) -> Iterable[Tensor]:
        return [part for pair in self.factors.values() for part in pair]


def cost(rank: int, shape: torch.Size) -> int:
    """Numbers that a matrix of this shape takes with so many components left."""
    return min(shape.numel(), rank * sum(shape))


def strongest(scores: Tensor, count: int) -> Tensor:
    """Bool tensor that marks the `count` highest scores."""
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    mask[scores.argsort(descending=True, stable=True)[:count].cpu()] = True
    return mask


def allot(scores: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], budget: int) -> dict[str, int]:
    """Components to keep of each matrix: the least sum of dropped scores for `budget` numbers in all.

    `scores` are of the components that are still there. A price a number decides for each matrix between all of it and
    any rank that saves; the price is the lowest that meets the budget. What is left is given to single components,
    those that score most for what they cost first.

    Raises:
        Infeasible: one component of each matrix is more than the budget.
    """
    if sum(cost(1, shape) for shape in shapes.values()) > budget:
        raise Infeasible(f"one component of each matrix takes more than the {budget} weights that are to stay")
    ordered = {name: one.sort(descending=True).values for name, one in scores.items()}
    low, high = 0.0, sum(float(one.sum()) for one in ordered.values()) or 1.0  # at which all else is dropped
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        counts = {name: _cheapest(one, shapes[name], middle) for name, one in ordered.items()}
        low, high = (low, middle) if _spent(counts, shapes) <= budget else (middle, high)
    counts = {name: _cheapest(one, shapes[name], high) for name, one in ordered.items()}
    most = {name: min(break_even(shapes[name]), len(one)) for name, one in ordered.items()}
    while grown := [
        name
        for name, count in counts.items()
        if count < most[name] and _spent(counts, shapes) + sum(shapes[name]) <= budget
    ]:
        best = max(grown, key=lambda name: float(ordered[name][counts[name]]) / sum(shapes[name]))
        counts[best] += 1
    return counts


def _spent(counts: Mapping[str, int], shapes: Mapping[str, torch.Size]) -> int:
    return sum(cost(count, shapes[name]) for name, count in counts.items())


def _cheapest(ordered: Tensor, shape: torch.Size, price: float) -> int:
    """The rank, all or one that saves, at which what is dropped and what is held cost least together."""
    ranks = torch.tensor([*range(1, min(break_even(shape), len(ordered)) + 1), len(ordered)])
    dropped = ordered.sum() - ordered.cumsum(0)[ranks - 1]
    held = (ranks * sum(shape)).clamp(max=shape.numel())
    return int(ranks[(dropped + price * held).argmin()])
