"""Pruning by what batches say, and pruning little by little."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from lightning import LightningModule, Trainer
from torch import Tensor, nn

from prune_bench.callbacks.magnitude import OMP, ScoredPruning
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.schedules import Polynomial, Schedule, Stopovers
from prune_bench.pruning.targets import find_core


class Taylor(OMP):
    """One-shot pruning by the estimated change of the loss (Molchanov et al., CVPR 2019; arXiv 2310.03424).

    Batches of the first fraction `at` of the fit are heard before the mask is drawn, and then held.
    """

    def __init__(self, sparsity: float, at: float = 0.1, **options: Any):
        super().__init__(sparsity, at=at, **{"criterion": "taylor", **options})


class Gradual(ScoredPruning):
    """Sparsity that rises as a cubic to `sparsity` over the first fraction `ramp` of the fit (Zhu & Gupta, 2017).

    Every `interval` updates (a hundredth of the fit if None) more goes, and what is removed stays removed, except that
    channels come back, at zero, where a whole head goes for them: sizes are met to within a channel. On its way the
    model is kept as it is an interval after it reached each of `sizes`: `export_sizes` gives them all after one fit.
    """

    def __init__(
        self,
        sparsity: float,
        ramp: float = 0.6,
        interval: int | None = None,
        sizes: Sequence[float] = (),
        **options: Any,
    ):
        super().__init__(sparsity, **options)
        self.ramp, self.interval = ramp, interval
        self.sizes = tuple(sorted(size for size in sizes if size < sparsity))
        self._kept: dict[float, tuple[int, dict[str, Tensor], MaskSet]] = {}

    def schedule(self, updates: int) -> Schedule:
        interval = self.interval or max(1, updates // 100)
        return Stopovers(Polynomial(0.0, self.sparsity, 0, round(self.ramp * updates), interval), self.sizes)

    def after_update(self, trainer: Trainer, step: int) -> None:
        schedule = self.pruner.schedule
        if schedule.is_update_step(step):
            self.keep(trainer.lightning_module, step, schedule.sparsity_at(step - 1))
        super().after_update(trainer, step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_end(trainer, pl_module)
        if missing := set(self.sizes) - self._kept.keys():
            raise ValueError(f"the fit ended before it reached sparsity {min(missing):g}: train longer")

    def keep(self, module: nn.Module, step: int, size: float) -> None:
        """Remember the model if it has just been at one of `sizes` for an interval."""
        if size in self.sizes and size not in self._kept:
            self.pruner.structure.apply(self.masks)
            state = {name: value.detach().cpu().clone() for name, value in find_core(module).state_dict().items()}
            self._kept[size] = (step, state, MaskSet(self.masks))

    def export_sizes(self, model: nn.Module) -> dict[float, tuple[int, nn.Module]]:
        """By size, the updates made and the model as it was then, to keep like `export`'s."""
        found: dict[float, tuple[int, nn.Module]] = {}
        for size, (step, state, masks) in self._kept.items():
            then = copy.deepcopy(model)
            then.load_state_dict(state)
            found[size] = step, self.binding.export(then, masks)
        return found

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._kept = {size: (step, state, MaskSet(masks)) for size, (step, state, masks) in state_dict["kept"].items()}
