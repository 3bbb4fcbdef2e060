"""Objectives: terms that a method adds to the loss of its fit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prune_bench.pruning.axes import GATES, Axis
from prune_bench.pruning.structures import Structure


class Objective(Axis):
    """A term of the loss."""

    def term(self, structure: Structure) -> Tensor:
        """A scalar to add, from the parameters that `structure` prunes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Distillation(Objective):
    """The distance of every layer's output from that of the model before the fit, under a learned map (CoFi; Xia et
    al., ACL 2022). The callback that learns gates computes it, since it needs the layers' outputs.
    """

    label = "layer-wise distillation"
    means = (GATES,)
    knobs = ("distillation", "distillation_side")
