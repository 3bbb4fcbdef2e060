"""What every pruning callback shares: its place in a fit, in a checkpoint and in the log."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torch.optim import Optimizer

from prune_bench.callbacks.factors import load_factors, save_factors
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method


def planned_updates(trainer: Trainer) -> int:
    """The batches after which a fit steps an optimizer, from its first one to its end.

    Raises:
        ValueError: the fit has no end.
    """
    total = trainer.estimated_stepping_batches
    if total == float("inf") or total < 0:
        raise ValueError("a pruning schedule needs an end: give the Trainer max_steps or max_epochs")
    return int(total)


def loss_scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """How much too large gradients are before an optimizer that undoes the scaling of 16-bit losses itself."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    handled = getattr(optimizer, "_step_supports_amp_scaling", False)
    return scaler.get_scale() if scaler is not None and handled else 1.0


def is_skipped(trainer: Trainer, optimizer: Optimizer) -> bool:
    """Whether the gradients overflowed under the scaling of 16-bit losses, so that no update will follow."""
    if getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    moved = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return any(parameter.grad is not None and not bool(parameter.grad.isfinite().all()) for parameter in moved)


class PruningCallback(Callback):
    """Base of the pruning callbacks: one row of the methods table in one fit.

    `sparsity` is the asked fraction, `achieved` the fraction that holds now. Masks, counters and seeds are saved with
    the Trainer's checkpoints; the module's own keys never change (except where layers are factorised). Updates are
    counted from the fit's first one, once a batch however many optimizers it steps.
    """

    def __init__(self, method: Method, sparsity: float, key: dict[str, Any]):
        if not 0.0 <= sparsity < 1.0:
            raise ValueError(
                f"{type(self).__name__}: sparsity={sparsity}: give the removed fraction, at least 0 and below 1"
            )
        self.method, self.sparsity = method, sparsity
        self._key = {"sparsity": sparsity, **key}
        self._step = 0  # batches after which an optimizer was stepped
        self._updates = 0  # such batches that the fit will have
        self._seen = 0  # the Trainer's own count, of optimizer steps
        self._per_update = 1  # optimizer steps a batch
        self._best: dict[str, float] = {}
        self._before = 0.0

    @property
    def state_key(self) -> str:
        return self._generate_state_key(**self._key)

    @property
    def achieved(self) -> float:
        """The removed fraction of the prunable weights (of their FLOPs where those are the target)."""
        raise NotImplementedError

    @property
    def masks(self) -> MaskSet:
        """What is kept, by name."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether a fit has begun for this callback: loops that tune a Trainer run before."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Scalars for the log."""
        return {"sparsity": self.achieved}

    def plan(self, updates: int) -> None:
        """Set the schedule of a fit of `updates` updates."""
        self._updates = updates

    def after_update(self, trainer: Trainer, step: int) -> None:
        """Act after `step` finished updates."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        save_factors(pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        load_factors(pl_module, checkpoint)

    def export(self, model: nn.Module) -> nn.Module:
        """The model to keep after the fit: smaller where the structure allows, else `model` itself."""
        return model

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = trainer.global_step
        if self.ready:
            self.plan(self._planned(trainer))

    def _planned(self, trainer: Trainer) -> int:
        """Updates of this fit from its first one on: those to come, and those made before an interruption."""
        total = planned_updates(trainer)
        if trainer.max_steps > 0:
            total = min(total, math.ceil(trainer.max_steps / self._per_update))
        return max(0, total - self._seen // self._per_update + self._step)

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
        self._note_best(trainer)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it from outside
        if every and self._step % every == 0:
            prefix = self._log_prefix(trainer)
            pl_module.log_dict({f"{prefix}/{name}": value for name, value in self.metrics().items()})

    def _log_prefix(self, trainer: Trainer) -> str:
        """`prune`, numbered from the second pruning callback of a Trainer on."""
        pruning = [one for one in trainer.callbacks if isinstance(one, PruningCallback)]  # type: ignore[attr-defined]
        number = pruning.index(self) if self in pruning else 0
        return f"prune{number + 1}" if number else "prune"

    def _note_best(self, trainer: Trainer) -> None:
        """Remember which sparsity held when a best checkpoint was written: it is seen one update later."""
        savers = _monitoring(trainer)
        for saver in savers:
            self._best.setdefault(saver.best_model_path, self._before)
        self._before = self.achieved if savers else 0.0

    def warn_of_shortfall(self, trainer: Trainer, tolerance: float) -> None:
        """Warn where the fit ended at another sparsity than the asked one, or kept a best checkpoint of another."""
        name, tolerance = type(self).__name__, tolerance + 1e-9
        if abs(self.achieved - self.sparsity) > tolerance:
            rank_zero_warn(
                f"{name} ended at a sparsity of {self.achieved:.2%}, not at the asked {self.sparsity:.2%}: the fit "
                f"ended after {self._step} of {self._updates} planned updates"
            )
        for saver in _monitoring(trainer):
            held = self._best.get(saver.best_model_path, self.achieved)
            if self.sparsity - held > tolerance:
                rank_zero_warn(
                    f"{name}: the best checkpoint {saver.best_model_path} has a sparsity of {held:.2%}, as it was "
                    f"written before the asked {self.sparsity:.2%} was reached: monitor a metric logged from then on"
                )


def _monitoring(trainer: Trainer) -> list[ModelCheckpoint]:
    """The callbacks that keep a best checkpoint, and have one."""
    savers = (one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
    return [one for one in savers if one.monitor and one.best_model_path]


def check_equal_across_ranks(trainer: Trainer, masks: MaskSet) -> None:
    """Raise RuntimeError when ranks drew different masks."""
    if trainer.world_size == 1:
        return
    mine = torch.tensor(int(masks.checksum()[:15], 16), device=trainer.strategy.root_device)
    everyone = trainer.strategy.all_gather(mine)
    if (everyone != mine).any():
        raise RuntimeError("pruning masks differ across ranks: their weights or scores have drifted apart")
