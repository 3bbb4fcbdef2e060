"""What every pruning callback shares: its place in a fit and in the log."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import nn

from prune_bench.callbacks.factors import load_factors, save_factors
from prune_bench.callbacks.hooks import call_after
from prune_bench.callbacks.shortfall import BestCheckpoints, warn
from prune_bench.callbacks.state import PruningState
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method

LONG = 1 << 20  # updates
SHARDING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


def planned_updates(trainer: Trainer) -> float:
    """The batches after which a fit steps an optimizer, from its first one to its end; infinite where it has none."""
    total = trainer.estimated_stepping_batches
    return math.inf if total < 0 else total


def no_end(trainer: Trainer) -> str:
    """Why a fit has no planned end, and what gives it one."""
    if trainer.max_epochs != -1 and trainer.num_training_batches == math.inf:
        return "the training data have no length, so that epochs plan no updates: give the Trainer max_steps"
    return "a pruning schedule needs an end: give the Trainer max_steps or max_epochs"


class PruningCallback(PruningState):
    """Base of the pruning callbacks: one row of the methods table in one fit.

    `sparsity` is the asked fraction, `achieved` the fraction that holds now. Masks, counters and seeds are saved with
    the Trainer's checkpoints; the module's own keys never change. Updates are counted from the fit's first one, once a
    batch however many optimizers it steps. A checkpoint that is loaded outside a fit brings its masks along.

    Raises:
        RuntimeError: `achieved` or `masks` is read before anything was pruned.
    """

    def __init__(self, method: Method, sparsity: float, key: dict[str, Any]):
        super().__init__(method, sparsity, key)
        self._updates: float = 0  # batches after which the fit will have stepped an optimizer
        self._seen = 0  # the Trainer's own count, of optimizer steps
        self._per_update = 1  # optimizer steps a batch
        self._begun = False  # whether the fit that runs has begun

    def metrics(self) -> dict[str, float]:
        """Scalars for the log."""
        return {"sparsity": self.achieved}

    def export(self, model: nn.Module) -> nn.Module:
        """The model to keep after the fit: smaller where the structure allows, else `model` itself."""
        return model

    # A fit.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._begun = False
        if stage == "fit" and isinstance(trainer.strategy, SHARDING):
            kind = type(trainer.strategy).__name__
            raise ValueError(
                f"{type(self).__name__}: {kind} shards weights, and masks need them whole: use strategy='ddp'"
            )
        if stage == "fit":
            self._best = BestCheckpoints()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        call_after(pl_module, "on_fit_start", self._begin)

    def _begin(self, module: LightningModule) -> None:
        if self.fitting and not self._begun:
            self.begin(module.trainer, module)
            self._begun, self._loaded = True, None

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        """Act when a fit begins: all weights are loaded, also those that the module's own `on_fit_start` loads."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = trainer.global_step
        if self.ready:
            self.plan(self._planned(trainer))

    def plan(self, updates: float) -> None:
        """Set the schedule of a fit of `updates` updates."""
        self._updates = updates

    def _planned(self, trainer: Trainer) -> float:
        """Updates of this fit from its first one on: those to come, and those made before an interruption. A
        `fast_dev_run` makes the first ones of a long fit.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return LONG
        total = planned_updates(trainer)
        if trainer.max_steps > 0:
            total = min(total, math.ceil(trainer.max_steps / self._per_update))
        if math.isinf(total) and not self.endless:
            raise ValueError(f"{type(self).__name__}: {no_end(trainer)}")
        return max(0, total - self._seen // self._per_update + self._step)

    @property
    def endless(self) -> bool:
        """Whether it can do without a planned end of the fit."""
        return False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        steps = trainer.global_step - self._seen
        if steps == 0 or not self.ready:
            return
        if self._step == 0 and steps != self._per_update:
            self._per_update = steps
            self.plan(self._planned(trainer))
        self._seen = trainer.global_step
        self._step += 1
        self.after_update(trainer, self._step)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it from outside
        if every and self._step % every == 0:
            prefix = self._log_prefix(trainer)
            pl_module.log_dict({f"{prefix}/{name}": value for name, value in self.metrics().items()})

    def after_update(self, trainer: Trainer, step: int) -> None:
        """Act after `step` finished updates."""

    def _log_prefix(self, trainer: Trainer) -> str:
        """`prune`, numbered from the second pruning callback of a Trainer on."""
        pruning = [one for one in trainer.callbacks if isinstance(one, PruningCallback)]  # type: ignore[attr-defined]
        number = pruning.index(self) if self in pruning else 0
        return f"prune{number + 1}" if number else "prune"

    # The end.

    @property
    def grain(self) -> float:
        """How far from the asked sparsity whole units may end."""
        return 0.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.warn_of_shortfall(trainer)
        self._handover.leave(trainer, self.state_dict())

    def warn_of_shortfall(self, trainer: Trainer) -> None:
        """Warn where the fit ended at another sparsity than the asked one, or kept a best checkpoint of less."""
        name, asked, tolerance = type(self).__name__, self.sparsity, self.grain + 1e-9
        if abs(self.achieved - asked) > tolerance:
            short = self._step < self._updates < math.inf
            why = f": the fit ended after {self._step} of {self._updates} planned updates" if short else ""
            warn(f"{name} ended at a sparsity of {self.achieved:.2%}, not at the asked {asked:.2%}{why}")
        for path, held in self._best.below(trainer, asked - tolerance):
            warn(
                f"{name}: the best checkpoint {path} has a sparsity of {held:.2%}, as it was written before the asked "
                f"{asked:.2%} was reached: monitor a metric logged from then on"
            )

    # Checkpoints.

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        save_factors(pl_module, checkpoint)
        self.note_checkpoint(trainer)
        if state := checkpoint["callbacks"].get(self.state_key):
            state["best"] = dict(self._best.sparsities)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        load_factors(pl_module, checkpoint)

    def note_checkpoint(self, trainer: Trainer) -> None:
        """Remember the sparsity of a checkpoint that is being written, if it is the best."""
        if self.ready:
            self._best.note(trainer, self.achieved)


def check_equal_across_ranks(trainer: Trainer, masks: MaskSet) -> None:
    """Raise RuntimeError when ranks drew different masks."""
    if trainer.world_size == 1:
        return
    mine = torch.tensor(int(masks.checksum()[:15], 16), device=trainer.strategy.root_device)
    everyone = trainer.strategy.all_gather(mine)
    if (everyone != mine).any():
        raise RuntimeError("pruning masks differ across ranks: their weights or scores have drifted apart")
