"""Pruning by what batches say, and pruning little by little."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lightning import Trainer
from torch import Tensor, nn

from prune_bench.callbacks.magnitude import OMP, ScoredPruning
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.schedules import Consecutive, Polynomial, Schedule
from prune_bench.pruning.targets import find_core


class Taylor(OMP):
    """One-shot pruning by the estimated change of the loss (Molchanov et al., CVPR 2019; arXiv 2310.03424).

    Batches of the first fraction `at` of the fit are heard before the mask is drawn, and then held.
    """

    def __init__(self, sparsity: float, at: float = 0.1, **options: Any):
        super().__init__(sparsity, at=at, **{"criterion": "taylor", **options})


class Gradual(ScoredPruning):
    """Sparsity that rises as a cubic to `sparsity` over the first fraction `ramp` of the fit (Zhu & Gupta, 2017).

    Every `interval` updates (a hundredth if None) more goes, and what is removed stays removed, except that channels
    come back, at zero, where a whole head goes for them: sizes are met to within a channel.

    With `sizes` one fit delivers several models: it is divided into as many equal parts, each with a ramp from the size
    before and a recovery, and `export_sizes` gives the models at the ends. A learning rate that falls towards each of
    these serves them best.
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
        self._ends: dict[int, float] = {}
        self._kept: dict[float, tuple[int, dict[str, Tensor], MaskSet]] = {}

    def schedule(self, updates: int) -> Schedule:
        asked = (*self.sizes, self.sparsity)
        length = updates // len(asked)
        ramp, interval = round(self.ramp * length), self.interval or max(1, length // 100)
        if self.sizes and ramp >= length:
            raise ValueError(f"{updates} updates leave none to recover at each of {len(asked)} sizes: train longer")
        self._ends = {length * number: size for number, size in enumerate(self.sizes, start=1)}
        parts = (Polynomial(start, end, 0, ramp, interval) for start, end in pairwise((0.0, *asked)))
        return Consecutive(tuple(parts), length)

    def after_update(self, trainer: Trainer, step: int) -> None:
        super().after_update(trainer, step)
        if step in self._ends:
            self.keep(trainer.lightning_module, step, self._ends[step])

    def keep(self, module: nn.Module, step: int, size: float) -> None:
        """Remember the model as it is at one of `sizes`."""
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
