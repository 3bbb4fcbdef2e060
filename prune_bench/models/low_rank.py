"""Linear layers, dense or factorised."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """y = up(down(x)): the product of two thin matrices in the place of one.

    `transposed` says that the replaced layer held its matrix as (inputs, outputs).
    """

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool = True):
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=bias)
        self.transposed = False

    @classmethod
    @torch.no_grad()
    def of(cls, up: Tensor, down: Tensor, bias: Tensor | None, transposed: bool = False) -> LowRankLinear:
        """The layer with copies of these factors, (outputs, rank) and (rank, inputs), and of the bias."""
        layer = cls(down.shape[1], len(down), len(up), bias=bias is not None).to(up.device, up.dtype)
        layer.up.weight.copy_(up)
        layer.down.weight.copy_(down)
        if bias is not None:
            layer.up.bias.copy_(bias)
        layer.transposed = transposed
        return layer

    @property
    def weight(self) -> Tensor:
        """The product, in the shape of the matrix it replaced, for code that computes with a layer's matrix itself."""
        product = self.up.weight @ self.down.weight
        return product.T if self.transposed else product

    @property
    def bias(self) -> Any:
        return self.up.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


def make_linear(inputs: int, outputs: int, rank: int | None = None, bias: bool = True) -> nn.Linear | LowRankLinear:
    """A Linear layer of any size, zero included; factorised when a rank is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        if rank is None:
            return nn.Linear(inputs, outputs, bias=bias)
        return LowRankLinear(inputs, rank, outputs, bias)
