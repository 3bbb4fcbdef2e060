"""What every pruning callback shares: its place in a fit, in a checkpoint and in the log."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from prune_bench.pruning.masks import MaskSet


def planned_updates(trainer: Trainer) -> int:
    """The optimizer updates this fit will make. ValueError when the fit has no end."""
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
    """Base of the pruning callbacks.

    `sparsity` is the asked fraction, `achieved` the fraction that holds now. Masks, counters and seeds are saved with
    the Trainer's checkpoints; the module's own keys never change (except under LowRank).
    """

    def __init__(self, sparsity: float):
        if not 0.0 <= sparsity < 1.0:
            raise ValueError(f"sparsity={sparsity}: give the removed fraction, at least 0 and below 1")
        self.sparsity = sparsity
        self._step = 0

    @property
    def achieved(self) -> float:
        """The removed fraction of the prunable weights (of their FLOPs where those are the target)."""
        raise NotImplementedError

    @property
    def masks(self) -> MaskSet:
        """What is kept, by name."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Scalars for the log."""
        return {"sparsity": self.achieved}

    def after_update(self, trainer: Trainer, step: int) -> None:
        """Act after `step` finished optimizer updates."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self.after_update(trainer, self._step)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it from outside
        if every and self._step % every == 0:
            pl_module.log_dict({f"prune/{name}": value for name, value in self.metrics().items()})

    def export(self, model: nn.Module) -> nn.Module:
        """The model to keep after the fit: smaller where the structure allows, else `model` itself."""
        return model


def check_equal_across_ranks(trainer: Trainer, masks: MaskSet) -> None:
    """Raise RuntimeError when ranks drew different masks."""
    if trainer.world_size == 1:
        return
    mine = torch.tensor(int(masks.checksum()[:15], 16), device=trainer.strategy.root_device)
    everyone = trainer.strategy.all_gather(mine)
    if (everyone != mine).any():
        raise RuntimeError("pruning masks differ across ranks: their weights or scores have drifted apart")
