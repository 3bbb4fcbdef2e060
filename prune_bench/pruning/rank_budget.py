"""How many components each matrix keeps for a budget of numbers in all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prune_bench.pruning import Infeasible
from prune_bench.pruning.low_rank import break_even, uniform_ranks

HALVINGS = 60


def cost(rank: int, shape: torch.Size) -> int:
    """Numbers that a matrix of this shape takes with so many components left."""
    return min(shape.numel(), rank * sum(shape))


def same_share(scores: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], budget: int) -> dict[str, int]:
    """The same fraction of every matrix, whatever its components score, but no more than are still there."""
    return {name: min(rank, len(scores[name])) for name, rank in uniform_ranks(shapes, budget).items()}


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
