"""Scores: how much a weight matters. Low scores go first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Criterion = Callable[[Tensor, Tensor | None, torch.Generator | None], Tensor]


def magnitude(weight: Tensor, gradient: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """|w|."""
    return weight.detach().abs()


def random(weight: Tensor, gradient: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Uniform noise: the lower bound that shows what the choice of a mask is worth."""
    return torch.rand(weight.shape, generator=generator).to(weight.device)


def taylor(weight: Tensor, gradient: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
    """(g w)^2 for one batch's gradient: the squared first-order loss change of removing each weight.

    Average it over batches; never square a mean gradient, which is near zero at convergence.
    (Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019.)
    """
    if gradient is None:
        raise ValueError("the Taylor criterion needs a gradient: score after a backward pass")
    return (weight.detach() * gradient).square()


def gate_gradient(weight: Tensor, gradient: Tensor, dim: int, block: int = 1) -> Tensor:
    """dL/dz at z = 1 for gates z multiplying blocks of `weight` along `dim`: the sum of g w over each block."""
    product = (weight.detach() * gradient).movedim(dim, 0)
    return product.reshape(-1, block * product[0].numel()).sum(1)


# The scores of a piece are a piece of the scores.
ELEMENTWISE: tuple[Criterion, ...] = (magnitude, taylor)
# One batch's gradient says too little: `Evidence` averages over many.
DATA_DRIVEN: tuple[Criterion, ...] = (taylor,)
CRITERIA: dict[str, Criterion] = {"magnitude": magnitude, "random": random, "taylor": taylor}
