"""Which weights a model has kept, against those that the weights it started from would have kept."""

from __future__ import annotations

from torch import nn

from prune_bench.pruning.masks import MaskSet, iou
from prune_bench.pruning.targets import find_targets


def compare_with_start(model: nn.Module, start: nn.Module, mask: MaskSet) -> dict[str, float]:
    """How what `model` keeps compares with `mask`, which the magnitudes of `start` give.

    `overlap.start` is their intersection over union, `threshold` the largest start magnitude that the mask removes: a
    revived weight must outgrow it (PARP, fig. 5).
    """
    kept = MaskSet({name: weight.detach() != 0 for name, weight in find_targets(model).items()})
    removed = (weight.detach()[~mask[name]].abs() for name, weight in find_targets(start).items())
    threshold = max((float(magnitudes.max()) for magnitudes in removed if len(magnitudes)), default=0.0)
    return {"overlap.start": iou(kept, mask), "threshold": threshold}
