"""What batches say about how much units matter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

HORIZON = 100  # batches


class Evidence:
    """The mean over batches of (dL/dz)^2 for a gate z on each unit: the squared first-order loss change of removing it
    (Molchanov et al., CVPR 2019).

    Squared batch by batch, for the mean gradient is near zero at convergence. All batches count alike up to `HORIZON`
    of them; from then on the older ones fade. One buffer of the size of the units.
    """

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}
        self.batches = 0

    @torch.no_grad()
    def add(self, changes: Iterable[tuple[str, Tensor]], scale: float = 1.0) -> None:
        """Take in one batch's changes, of a loss `scale` times too large."""
        self.batches += 1
        share = 1 / min(self.batches, HORIZON)
        for name, change in changes:
            square = self.squares[name] = self.squares.get(name, torch.zeros_like(change)).to(change.device)
            square.mul_(1 - share).addcmul_(change, change, value=share / scale**2)

    def means(self) -> dict[str, Tensor]:
        """The mean squares by name. ValueError before the first batch."""
        if not self.batches:
            raise ValueError("the Taylor criterion has seen no gradient yet: draw its mask after some updates, at > 0")
        return self.squares

    def state_dict(self) -> dict[str, Any]:
        return {"squares": self.squares, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.squares, self.batches = state["squares"], state["batches"]
