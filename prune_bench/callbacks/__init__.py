"""The only seam to Lightning: one public callback a method, for any LightningModule."""

from __future__ import annotations

from collections.abc import Mapping

from lightning import Callback
from torch import Tensor

from prune_bench.callbacks.base import PruningCallback
from prune_bench.callbacks.gradual import Gradual, Taylor
from prune_bench.callbacks.iterative import IMP
from prune_bench.callbacks.l0 import L0
from prune_bench.callbacks.low_rank import LowRank
from prune_bench.callbacks.magnitude import MPI, OMP, PARP, RP
from prune_bench.config import Config
from prune_bench.pruning.methods import Method, find_method
from prune_bench.pruning.schedules import read_sizes

__all__ = ["IMP", "L0", "MPI", "OMP", "PARP", "RP", "Gradual", "LowRank", "PruningCallback", "Taylor", "callbacks_for"]


Mask = Mapping[str, Tensor] | None


def _omp(config: Config, method: Method, mask: Mask) -> Callback:
    return OMP(config.sparsity, structure=config.pruning.structure, mask=mask, seed=config.seed)


def _parp(config: Config, method: Method, mask: Mask) -> Callback:
    behind = method.options.get("behind")
    return PARP(
        config.sparsity,
        interval=max(1, round(config.pruning.interval * config.final.steps)),
        start=None if behind is None else max(0.0, config.sparsity - behind),
        ramp=0.0 if behind is None else config.pruning.progress,
        structure=config.pruning.structure,
        mask=mask,
        seed=config.seed,
    )


def _taylor(config: Config, method: Method, mask: Mask) -> Callback:
    pruning = config.pruning
    return Taylor(config.sparsity, at=pruning.calibration, structure=pruning.structure, mask=mask, seed=config.seed)


def _gradual(config: Config, method: Method, mask: Mask) -> Callback:
    sizes = read_sizes(config.pruning.intermediate, below=config.sparsity)
    return Gradual(
        config.sparsity,
        ramp=config.pruning.progress,
        interval=max(1, round(config.pruning.interval * config.final.steps / (len(sizes) + 1))),
        sizes=sizes,
        criterion=method.criterion,
        structure=config.pruning.structure,
        seed=config.seed,
    )


def _low_rank(config: Config, method: Method, mask: Mask) -> Callback:
    return LowRank(config.sparsity)


def _l0(config: Config, method: Method, mask: Mask) -> Callback:
    pruning = config.pruning
    return L0(
        config.sparsity,
        target=method.target,
        kinds=method.kinds,
        ramp=pruning.ramp,
        settle=pruning.settle,
        mask_learning_rate=pruning.mask_learning_rate,
        multiplier_learning_rate=pruning.multiplier_learning_rate,
        gate_init=pruning.gate_init,
        ffn_gate_init=pruning.ffn_gate_init,
        temperature=pruning.temperature,
        counter=pruning.counter,
        distillation=method.options.get("distillation", pruning.distillation),
        distillation_side=pruning.distillation_side,
        reference_frames=round(1000 * pruning.reference_seconds / config.features.hop_ms),
        seed=config.seed,
    )


_FAMILIES = {"omp": _omp, "parp": _parp, "taylor": _taylor, "gradual": _gradual, "low_rank": _low_rank, "l0": _l0}


def callbacks_for(config: Config, mask: Mask = None) -> list[Callback]:
    """The callbacks of a configured run: none where nothing is removed. `mask` is the first one, drawn elsewhere."""
    method = find_method(config.method)
    if method.family not in _FAMILIES or config.sparsity == 0:
        return []
    return [_FAMILIES[method.family](config, method, mask)]
