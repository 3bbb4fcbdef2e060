"""The inverse empirical Fisher matrix and the second-order pruning statistic built on it (WoodFisher)."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_fisher(gradients: Tensor, damping: float) -> Tensor:
    """(damping I + 1/N sum_n g_n g_n^T)^-1 by N rank-one updates; `gradients` is (..., N, d), the result (..., d, d).

    Singh & Alistarh, WoodFisher, NeurIPS 2020, the Sherman-Morrison recursion. O(N d^2).
    """
    *blocks, count, size = gradients.shape
    inverse = (torch.eye(size, dtype=gradients.dtype, device=gradients.device) / damping).repeat(*blocks, 1, 1)
    for gradient in gradients.unbind(-2):
        product = (inverse @ gradient.unsqueeze(-1)).squeeze(-1)
        share = count + (gradient * product).sum(-1)
        inverse -= product.unsqueeze(-1) * product.unsqueeze(-2) / share[..., None, None]
    return inverse


def fisher_saliency(weight: Tensor, inverse: Tensor) -> Tensor:
    """w_q^2 / (2 [F^-1]_qq): the loss increase of removing weight q with the others adjusted optimally."""
    return weight.square() / (2 * inverse.diagonal(dim1=-2, dim2=-1))


def compensation(weight: Tensor, inverse: Tensor, removed: Tensor) -> Tensor:
    """The change of all weights that best absorbs the removal of those marked in the bool vector `removed`.

    `weight` and `removed` are (..., d), `inverse` (..., d, d). Single-weight updates are summed, which ignores their
    interaction: mask the removed entries afterwards.
    """
    scale = torch.where(removed, weight / inverse.diagonal(dim1=-2, dim2=-1), torch.zeros_like(weight))
    return -(inverse @ scale.unsqueeze(-1)).squeeze(-1)
