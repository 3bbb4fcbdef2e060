"""Pruning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PruningConfig:
    """Knobs of the pruning methods; fractions are of the fit's updates.

    `interval` is how often PARP and gradual pruning update the mask, `progress` where a rising sparsity reaches its
    target, `round` the length of a round of IMP, `mask_language` whose mask is transferred, `calibration` how long
    gradients are accumulated before one-shot Taylor pruning. `intermediate` are sparsities, joined with `+`, that one
    gradual run to the largest of them saves on its way, each at the end of an equal part of the fit, of which
    `interval` and `progress` are then fractions; without any, each sparsity is a run of its own. The rest is L0's.
    """

    structure: str = "groups"
    interval: float = 0.01
    progress: float = 0.6
    imp_step: str = "original10"
    round: float = 0.2
    mask_language: str = ""
    calibration: float = 0.1
    intermediate: str = ""
    ramp: float = 0.3
    settle: float = 0.6
    mask_learning_rate: float = 5e-2
    multiplier_learning_rate: float = 5e-2
    gate_init: float = 4.6
    ffn_gate_init: float = 3.0
    temperature: float = 2 / 3
    counter: str = "exact"
    distillation: float = 1.0
    distillation_side: str = "student"
    reference_seconds: float = 15.0
