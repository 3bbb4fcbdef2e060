"""Linear layers, dense or factorised."""

from __future__ import annotations

import warnings

from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """y = up(down(x)): the product of two thin matrices in the place of one."""

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool = True):
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=bias)

    @property
    def bias(self) -> Tensor:
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
