"""Allocation: how a budget of removals is spread over tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from prune_bench.pruning.axes import FACTORS, GATES, MASKS, Axis
from prune_bench.pruning.masks import MaskSet, Scores, lowest
from prune_bench.pruning.rank_budget import allot, same_share

Ranked = Mapping[str, Tensor | Scores]
RankCounts = Callable[[Mapping[str, Tensor], Mapping[str, torch.Size], int], dict[str, int]]


def everywhere(scores: Ranked, removed: int) -> MaskSet:
    """One ranking over all targets: the `removed` lowest scores go, wherever they are."""
    marked = lowest(list(scores.values()), removed)
    return MaskSet({name: mark.logical_not_() for name, mark in zip(scores, marked, strict=True)})


def uniform(scores: Ranked, removed: int) -> MaskSet:
    """The same fraction of every target; the remainder of rounding goes to the largest fractional parts."""
    total = sum(score.numel() for score in scores.values())
    exact = {name: removed * score.numel() / total for name, score in scores.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_fraction = sorted(scores, key=lambda name: counts[name] - exact[name])
    for name in by_fraction[: removed - sum(counts.values())]:
        counts[name] += 1
    return MaskSet({name: lowest([score], counts[name])[0].logical_not_() for name, score in scores.items()})


@dataclass(frozen=True)
class Allocation:
    """`weights(scores, removed)` chooses single weights, `ranks(scores, shapes, budget)` how many components of each
    matrix stay; `refuses` says what else cannot be spread so, and why.
    """

    label: str
    weights: Callable[[Ranked, int], MaskSet]
    ranks: RankCounts
    refuses: Mapping[str, str] = field(default_factory=dict)
    knobs: tuple[str, ...] = ()
    means: ClassVar[tuple[str, ...]] = (MASKS, FACTORS)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Lagrangian(Axis):
    """Learned: a constraint on the expected `quantity`, "size" or "flops", weighs every gate by what it costs."""

    quantity: str = "size"

    label = "Lagrangian"
    means = (GATES,)
    knobs = ("multiplier_learning_rate", "reference_seconds")


_COARSE = "removes units of unequal size, which no equal share of every tensor fits"
GLOBAL = Allocation("global", everywhere, allot)
UNIFORM = Allocation("uniform", uniform, same_share, {"groups": _COARSE, "heads": _COARSE})
ALLOCATIONS: dict[str, Allocation] = {each.label: each for each in (GLOBAL, UNIFORM)}
