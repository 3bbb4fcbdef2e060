"""Singular values as removable units: ranks for a budget, and the factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


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

    Floors leave a remainder; it is given back one rank at a time, largest fractional part first.

    Raises:
        ValueError: the budget is no smaller than the matrices, where factors save nothing.
    """
    total = sum(shape.numel() for shape in shapes.values())
    if not 0 < budget < total:
        raise ValueError(f"cannot factorise {total} weights into {budget}: ask for a sparsity between 0 and 1")
    exact = {name: budget / total * shape.numel() / sum(shape) for name, shape in shapes.items()}
    ranks = {name: max(1, int(rank)) for name, rank in exact.items()}
    left = budget - sum(rank * sum(shapes[name]) for name, rank in ranks.items())
    for name in sorted(shapes, key=lambda name: int(exact[name]) - exact[name]):
        if sum(shapes[name]) <= left and ranks[name] < break_even(shapes[name]):
            ranks[name] += 1
            left -= sum(shapes[name])
    return ranks
