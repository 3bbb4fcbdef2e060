"""Revival: whether a removed unit may come back, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from prune_bench.pruning.axes import FACTORS, GATES, MASKS, Axis
from prune_bench.pruning.criteria import Criterion
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet, lowest

NONE: Mapping[str, Tensor] = {}
_SINGLE = "exchanges single weights within each tensor"


@dataclass(frozen=True)
class Hard(Axis):
    """What is removed stays removed.

    `holds`: removed units are set to zero after every update, and not only when a mask is drawn. `clears`: the
    optimizer forgets the moments of removed and regrown entries. `score_side`: which side of a group is scored.
    """

    label = "hard"
    means: ClassVar[tuple[str, ...]] = (MASKS, FACTORS)
    holds: ClassVar[bool] = True
    clears: ClassVar[bool] = True
    score_side: ClassVar[str] = "all"

    def tuned(self, knobs: Knobs) -> Hard:
        """The same with what the knobs say."""
        return self

    def barred(self, masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The masks whose removed units cannot be chosen again."""
        return masks

    def acts(self, step: int, updates: int) -> bool:
        """Whether a mask is drawn at an update at which no more is to be removed."""
        return False

    def revise(
        self, masks: MaskSet, weights: Mapping[str, Tensor], criterion: Criterion, progress: float, chance: Generator
    ) -> MaskSet:
        """The drawn masks after regrowth, at the fraction `progress` of the fit."""
        return masks


Revival = Hard


@dataclass(frozen=True)
class Free(Hard):
    """Removed units are set to zero when a mask is drawn and train on from there; all are ranked again at the next one
    (PARP, Algorithm 1). The optimizer keeps its moments.
    """

    label = "free"
    means = (MASKS,)
    refuses: ClassVar[Mapping[str, str]] = {"ranks": "revives what it removes, which rank components cannot"}
    holds = False
    clears = False
    score_side = "outputs"

    def barred(self, masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return NONE

    def acts(self, step: int, updates: int) -> bool:
        return True


@dataclass(frozen=True)
class Gated(Hard):
    """A gate may open again until it is fixed."""

    label = "gate"
    means = (GATES,)


@dataclass(frozen=True)
class Regrow(Hard):
    """In every tensor, a share of the kept weights with the lowest scores gives way to as many removed ones with the
    highest scores of `growth`; these start from zero.

    The share falls as a cosine from `swap` to `last` at the fraction `until` of the fit, and nothing is exchanged from
    there on, nor as the last act of a fit (GraNet, Liu et al., NeurIPS 2021; RigL, Evci et al., ICML 2020; SET,
    Mocanu et al., 2018).
    """

    growth: Criterion
    swap: float = 0.5
    last: float = 0.0
    until: float = 1.0

    knobs = ("swap",)
    means = (MASKS,)
    refuses: ClassVar[Mapping[str, str]] = dict.fromkeys(("groups", "heads", "ranks"), _SINGLE)

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"regrow by {self.growth.label}"

    def tuned(self, knobs: Knobs) -> Regrow:
        return self if knobs.swap is None else replace(self, swap=knobs.swap)

    def acts(self, step: int, updates: int) -> bool:
        return 0 < step < self.until * updates

    def share(self, progress: float) -> float:
        """The exchanged share of the kept weights."""
        fallen = (1 - math.cos(math.pi * min(1.0, progress / self.until))) / 2
        return self.swap + (min(self.last, self.swap) - self.swap) * fallen

    def revise(
        self, masks: MaskSet, weights: Mapping[str, Tensor], criterion: Criterion, progress: float, chance: Generator
    ) -> MaskSet:
        revised = MaskSet()
        for name, mask in masks.items():
            weight, mask = weights[name], mask.to(weights[name].device)
            count = min(round(self.share(progress) * int(mask.sum())), int((~mask).sum()))
            left = mask & ~extreme(criterion(weight, None, chance), mask, count, chance)
            revised[name] = left | extreme(-self.growth(weight, None, chance), ~left, count, chance)
        return revised


def extreme(scores: Tensor, among: Tensor, count: int, chance: Generator) -> Tensor:
    """Bool tensor that marks the `count` lowest scores where `among` is set; equal ones fall by chance."""
    order = torch.randperm(scores.numel(), generator=chance).to(scores.device)
    shuffled = scores.masked_fill(~among, math.inf).flatten()[order]
    marks = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    marks[order] = lowest([shuffled], count)[0]
    return marks.view(scores.shape)
