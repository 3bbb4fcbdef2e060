"""Masks drawn from scores on a schedule: one callback runs every such row of the methods table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import count
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer

from prune_bench.callbacks.base import LONG, check_equal_across_ranks
from prune_bench.callbacks.bindings import bind_structure
from prune_bench.callbacks.calibration import run_batches
from prune_bench.callbacks.hooks import call_after
from prune_bench.callbacks.optimizers import clear_moments, is_skipped, loss_scale
from prune_bench.callbacks.saving import SavedMasks, all_tensors
from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import Consecutive, OneShot, Schedule
from prune_bench.pruning.targets import Patterns, describe_coverage, find_targets


class MaskPruning(SavedMasks):
    """Prunes by the masks of a method's row.

    `structure` is "weights" (single ones, any LightningModule), "weights+biases" (those of their layers too),
    "groups" (heads, FFN channels, convolution modules of a model that offers `units()`), "heads" (these alone) or
    "ranks" (components of Linear layers, which the fit factorises). `include`, `exclude` and `convolutions` choose the
    weights: see `find_targets`. `mask` stands in for the first one drawn: a mask of another model of this shape, task
    or language. `calibration_data` are batches for criteria that need statistics of data (None: the first batches of
    the training data).

    Where removed weights train on, validation, test and prediction see the masked model all the same, and it is what
    a checkpoint holds as the model's state; the values under the mask, which resuming needs, are in the callback's.
    """

    def __init__(
        self,
        method: Method,
        sparsity: float,
        knobs: Knobs,
        *,
        include: Patterns = (),
        exclude: Patterns = (),
        convolutions: bool = False,
        mask: Mapping[str, Tensor] | None = None,
        calibration_data: Iterable[Any] | None = None,
        seed: int = 0,
    ):
        super().__init__(method, sparsity, {"structure": knobs.structure, "include": include, "exclude": exclude})
        method.check_structure(knobs.structure, type(self).__name__)
        choice = {"include": include, "exclude": exclude, "convolutions": convolutions}
        allocation: Any = ALLOCATIONS[knobs.allocation] if knobs.allocation else method.allocation
        if why := allocation.refuses.get(knobs.structure):
            raise ValueError(f"{type(self).__name__}: structure={knobs.structure!r} {why}: allocation={allocation}")
        self.binding = bind_structure(knobs.structure, choice, allocation, method.kinds, method.revival.score_side)
        self.knobs, self.mask, self.calibration_data, self.seed = knobs, mask, calibration_data, seed

    # What is known without a fit.

    def schedule(self, updates: int) -> Schedule:
        """The schedule of a fit of `updates` updates."""
        try:
            return self.method.schedule(self.sparsity, updates, self.knobs)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None

    @property
    def endless(self) -> bool:
        revival = self.method.revival
        # What is the same in a fit of twice as many updates needs no end.
        exchanges = revival.acts(LONG - 1, LONG) and not revival.acts(2 * LONG, LONG)
        return not exchanges and self.schedule(LONG) == self.schedule(2 * LONG)

    def choose(self, module: nn.Module) -> MaskSet:
        """The mask of `sparsity` that the weights of `module` give as they are."""
        structure, generator = self.binding.bind(module), torch.Generator().manual_seed(self.seed)
        return structure.select(self._make_pruner(structure).rank(generator), self.sparsity)

    def measure(self) -> float:
        return self.pruner.achieved

    def mask_set(self) -> MaskSet:
        return self.pruner.masks

    @property
    def grain(self) -> float:
        return self.pruner.structure.grain

    def metrics(self) -> dict[str, float]:
        return {"sparsity": self.achieved, "churn": self.pruner.churn}

    # The beginning of a fit.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            call_after(pl_module, "configure_model", self._prepare)

    def _prepare(self, module: nn.Module) -> None:
        if not self.ready:
            targets = find_targets(module, **self.binding.choice)
            rank_zero_info(f"{type(self).__name__} {describe_coverage(module, targets)}")
        self.binding.prepare(module)

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        structure, name = self.binding.bind(module), type(self).__name__
        if self.sparsity > structure.most:
            most = f"at most {structure.most:.1%} can be removed so, less than the asked {self.sparsity:.1%}"
            raise Infeasible(f"{name}: {most}")
        before, asked = self._held()
        self._pruner = self._make_pruner(structure)
        self._pruner.batches = partial(
            run_batches, trainer, module, self.calibration_data, self.knobs.calibration_batches
        )
        if self.restore():
            return
        self._step, self._seen, self._kept = 0, trainer.global_step, {}
        self.plan(self._planned(trainer))
        self._check_mask()
        if self._pruner.carries(before):
            self._pruner.masks, self._pruner.asked = before, asked
        if self.method.compensation.rewinds:
            self._origin = {name: value.detach().clone() for name, value in all_tensors(module)}
        self._draw_if_due(trainer, 0)

    def _held(self) -> tuple[MaskSet, float]:
        """Masks and asked sparsity of a fit before this one."""
        if (loaded := self.loaded) is not None:
            return MaskSet(loaded["masks"]), loaded["pruner"]["asked"]
        return (self._pruner.masks, self._pruner.asked) if self._pruner is not None else (MaskSet(), 0.0)

    def _check_mask(self) -> None:
        if self.mask is None:
            return
        structure, schedule = self.pruner.structure, self.pruner.schedule
        asked = schedule.sparsity_at(next(step for step in count() if schedule.is_update_step(step)))
        held = structure.achieved(MaskSet(self.mask))
        if abs(held - asked) > structure.grain + 1e-9:
            raise ValueError(
                f"{type(self).__name__}: mask removes {held:.2%}, not the {asked:.2%} with which the fit begins: draw "
                "the mask at that sparsity"
            )

    def _make_pruner(self, structure: Any) -> Pruner:
        row: Any = self.method
        return Pruner(
            criterion=row.criterion,
            structure=structure,
            schedule=OneShot(self.sparsity),
            revival=row.revival.tuned(self.knobs),
            compensation=row.compensation,
            seed=self.seed,
            initial=self.mask,
            knobs=self.knobs,
        )

    def plan(self, updates: float) -> None:
        super().plan(updates)
        self.pruner.updates = LONG if math.isinf(updates) else int(updates)
        self.pruner.schedule = self.schedule(self.pruner.updates)

    # One update.

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self.ready:
            for objective in self.method.objectives:
                loss.add_((objective.term(self.pruner.structure) / trainer.accumulate_grad_batches).to(loss.dtype))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if self.ready and self.pruner.learns:
            self.pruner.observe(loss_scale(trainer, optimizer), valid=not is_skipped(trainer, optimizer))
        elif self.ready:
            self.pruner.release()

    def after_update(self, trainer: Trainer, step: int) -> None:
        self._draw_if_due(trainer, step)
        schedule = self.pruner.schedule
        if isinstance(schedule, Consecutive) and step in schedule.ends:
            self.keep(trainer.lightning_module, step, schedule.ends[step])

    def _draw_if_due(self, trainer: Trainer, step: int) -> None:
        before = self.pruner.masks
        if not self.pruner.update(step):
            return
        masks = self.pruner.masks
        check_equal_across_ranks(trainer, masks)
        if self.method.compensation.rewinds and step:
            self._rewind(trainer)
        elif self.method.revival.clears:
            clear_moments(trainer.optimizers, self.pruner.structure, before, masks)

    def _rewind(self, trainer: Trainer) -> None:
        with torch.no_grad():
            for name, value in all_tensors(trainer.lightning_module):
                value.copy_(self._origin[name])
        self.pruner.structure.apply(self.pruner.masks)
        for optimizer in trainer.optimizers:
            optimizer.state.clear()

    # The end.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.ready and self.pruner.examples is None:
            self.pruner.watch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruner.finish(self._step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._leave()
        if self._pruner is not None:
            self._pruner.release()
        super().on_exception(trainer, pl_module, exception)

    def export(self, model: nn.Module) -> nn.Module:
        return self.binding.export(model, self.masks)
