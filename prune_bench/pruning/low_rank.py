"""Singular values as removable units: ranks for a budget, and the factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prune_bench.pruning import Infeasible


def factorise(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(up, down) with up @ down the best rank-`rank` approximation of `weight` (a x b) in the Frobenius norm.

    Each factor carries the square root of the singular values, so that gradients are balanced: up is a x rank,
    down is rank x b, and the error is the root of the sum of the dropped squared singular values.
    """
    left, values, right = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    root = values[:rank].sqrt()
    up, down = left[:, :rank] * root, root[:, None] * right[:rank]
    return up.to(weight.dtype).contiguous(), down.to(weight.dtype).contiguous()


def break_even(shape: torch.Size) -> int:
    """The largest rank at which the factors hold fewer parameters than the matrix."""
    rows, columns = shape
    return (rows * columns - 1) // (rows + columns)


def uniform_ranks(shapes: Mapping[str, torch.Size], budget: int) -> dict[str, int]:
    """Ranks that keep the same fraction of every matrix and together at most `budget` parameters, nearly all of it.

    Floors leave a remainder; it is given back one rank at a time, largest fractional part first. Where rank 1 is more
    than a matrix's share, the others give up ranks for it, those that keep most first.

    Raises:
        Infeasible: rank 1 everywhere is more than the budget.
        ValueError: the budget is no smaller than the matrices, where factors save nothing.
    """
    total = sum(shape.numel() for shape in shapes.values())
    if budget >= total:
        raise ValueError(f"cannot factorise {total} weights into {budget}: ask for a sparsity above 0")
    if sum(sum(shape) for shape in shapes.values()) > budget:
        raise Infeasible(f"rank 1 in {len(shapes)} matrices takes more than the {budget} weights that are left to them")
    exact = {name: budget / total * shape.numel() / sum(shape) for name, shape in shapes.items()}
    ranks = {name: max(1, int(rank)) for name, rank in exact.items()}
    left = budget - sum(rank * sum(shapes[name]) for name, rank in ranks.items())
    while left < 0:
        richest = max((name for name in shapes if ranks[name] > 1), key=lambda name: ranks[name] / exact[name])
        ranks[richest] -= 1
        left += sum(shapes[richest])
    for name in sorted(shapes, key=lambda name: int(exact[name]) - exact[name]):
        if sum(shapes[name]) <= left and ranks[name] < break_even(shapes[name]):
            ranks[name] += 1
            left -= sum(shapes[name])
    return ranks
