"""How the learning rate goes over a fit: factors of its peak, as functions of the updates that are done."""

from __future__ import annotations

import math

from prune_bench.config import FitConfig

COSINE_END = 0.02
START, END = 0.01, 0.05


def rate_factor(step: int, fit: FitConfig, cycles: int = 1) -> float:
    """Factor of `fit.learning_rate` for the update after `step` finished ones.

    The schedule is gone through `cycles` times, equally long; the last one ends with the fit.
    """
    length = fit.steps // cycles
    number = min(step // length, cycles - 1)
    done = step - number * length
    if number == cycles - 1:
        length = fit.steps - number * length
    warmup = round(fit.warmup * length)
    if fit.schedule == "tri_stage":
        return tri_stage(done, length, warmup, round(fit.hold * length))
    return warm_cosine(done, length, warmup)


def warm_cosine(step: int, steps: int, warmup: int) -> float:
    """Linear from 0 in `warmup` updates, then along a cosine to 2 % at the end."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return COSINE_END + (1 - COSINE_END) * 0.5 * (1 + math.cos(math.pi * progress))


def tri_stage(step: int, steps: int, warmup: int, hold: int) -> float:
    """Linear from 1 % in `warmup` updates, constant for `hold`, then exponentially to 5 % at the end.

    The schedule of SpecAugment (Park et al., 2019) with the scales that wav2vec 2.0 is fine-tuned with.
    """
    if step < warmup:
        return START + (1 - START) * step / warmup
    decay = steps - warmup - hold
    return END ** min(1.0, max(0, step - warmup - hold) / max(1, decay))
