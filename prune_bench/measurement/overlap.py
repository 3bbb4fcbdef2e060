"""Which weights a model has kept, against those that the weights it started from would have kept."""

from __future__ import annotations

import torch
from torch import nn

from prune_bench.pruning.criteria import magnitude
from prune_bench.pruning.masks import MaskSet, Scores, iou, lowest
from prune_bench.pruning.targets import find_targets


def kept_weights(model: nn.Module) -> MaskSet:
    """The prunable weights that are not zero."""
    return MaskSet({name: weight.detach() != 0 for name, weight in find_targets(model).items()})


def largest_weights(model: nn.Module, sparsity: float) -> tuple[MaskSet, float]:
    """The mask that magnitudes alone give, and the largest magnitude that it removes."""
    targets = find_targets(model)
    count = round(sparsity * sum(weight.numel() for weight in targets.values()))
    removed = lowest([Scores(magnitude, weight) for weight in targets.values()], count)
    largest = [weight.detach()[mask].abs() for weight, mask in zip(targets.values(), removed, strict=True)]
    threshold = max((float(values.max()) for values in largest if len(values)), default=0.0)
    return MaskSet({name: ~mask for name, mask in zip(targets, removed, strict=True)}), threshold


@torch.no_grad()
def compare_with_start(model: nn.Module, start: nn.Module, sparsity: float) -> dict[str, float]:
    """`overlap.start`: intersection over union of what is kept and what magnitude pruning at the start would keep.

    `threshold` is the largest start magnitude that the latter removes: a revived weight must outgrow it (PARP, fig. 5).
    """
    masks, threshold = largest_weights(start, sparsity)
    return {"overlap.start": iou(kept_weights(model), masks), "threshold": threshold}
