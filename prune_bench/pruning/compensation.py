"""What the remaining weights do when a mask is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from prune_bench.pruning.axes import FACTORS, GATES, MASKS, Axis
from prune_bench.pruning.calibration import CHUNK, GradientSamples, InputHessians, in_blocks
from prune_bench.pruning.fisher import compensation
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.statistics import Statistics

_SINGLE = "changes single weights by second-order statistics"


@dataclass(frozen=True)
class Unchanged(Axis):
    """They stay as they are. `rewinds`: the module goes back to where the fit began."""

    label = "unchanged"
    means: ClassVar[tuple[str, ...]] = (MASKS, FACTORS, GATES)
    rewinds: ClassVar[bool] = False

    def adjust(self, weights: Mapping[str, Tensor], masks: MaskSet, statistics: Statistics | None) -> None:
        """Change the weights in place, before what the masks remove is set to zero."""


Compensation = Unchanged


@dataclass(frozen=True)
class Rewind(Unchanged):
    """They go back to where the fit began, with the rest of the module, and the optimizer is emptied (Frankle & Carbin,
    ICLR 2019).
    """

    label = "rewound"
    means = (MASKS,)
    rewinds = True


@dataclass(frozen=True)
class SecondOrder(Unchanged):
    """They move to where a quadratic model of the loss is least without the removed ones (WoodFisher, section 3). The
    single-weight updates of the optimal brain surgeon are summed.
    """

    label = "second-order update"
    means = (MASKS,)
    refuses: ClassVar[Mapping[str, str]] = dict.fromkeys(("groups", "heads", "ranks"), _SINGLE)

    @torch.no_grad()
    def adjust(self, weights: Mapping[str, Tensor], masks: MaskSet, statistics: Statistics | None) -> None:
        for name, weight in weights.items():
            removed = ~masks[name].to(weight.device)
            if isinstance(statistics, GradientSamples):
                weight.add_(_by_fisher(weight, removed, statistics, name))
            elif isinstance(statistics, InputHessians):
                weight.add_(_by_inputs(weight, removed, statistics.inverses(name), statistics.block))
            else:
                raise ValueError("a second-order update needs the statistics of criterion fisher or hessian")


def _by_fisher(weight: Tensor, removed: Tensor, statistics: GradientSamples, name: str) -> Tensor:
    values, gone = (in_blocks(one.reshape(1, -1), statistics.block)[0] for one in (weight.double(), removed))
    parts = zip(values.split(CHUNK), gone.split(CHUNK), statistics.inverses(name), strict=True)
    change = torch.cat([compensation(part, inverse, out) for part, out, inverse in parts])
    return change.flatten()[: weight.numel()].view(weight.shape).to(weight.dtype)


def _by_inputs(weight: Tensor, removed: Tensor, inverses: Tensor, block: int) -> Tensor:
    values, gone = (in_blocks(one, block).transpose(0, 1) for one in (weight.double(), removed))
    change: Any = torch.stack([
        compensation(part, inverse, out) for part, out, inverse in zip(values, gone, inverses, strict=True)
    ])  # fmt: skip
    return change.transpose(0, 1).flatten(1)[:, : weight.shape[1]].to(weight.dtype)
