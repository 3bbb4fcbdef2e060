"""What every training shares: optimizer, schedule, clipping, repeatable noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from prune_bench.config import FitConfig
from prune_bench.tasks.rates import rate_factor

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch

BETAS, EPSILON = (0.9, 0.98), 1e-8  # wav2vec 2.0's


class TrainingTask(LightningModule):
    """A `model` in training: AdamW along `fit.schedule`. A subclass gives `losses(batch)`.

    Works with any Trainer; the schedule spans `fit.steps` updates and gradients are clipped to the norm `fit.clip`
    here, with 0 not at all, so the Trainer needs `max_steps=fit.steps`, full precision or bf16-mixed, and no clipping
    of its own. All randomness of a training batch comes from (seed, update, batch within the update, rank): a resumed
    fit repeats an uninterrupted one. `earlier` counts the updates of the fits that led to this one: `prune/step` goes
    on from them. The schedule is gone through `cycles` times, as for a fit that delivers several models.
    """

    def __init__(self, model: nn.Module, fit: FitConfig, seed: int = 0):
        super().__init__()
        self.model = model
        self.fit, self.seed = fit, seed
        self.earlier, self.cycles = 0, 1

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; the first one, `loss`, is minimised."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        accumulate = self.trainer.accumulate_grad_batches
        number = self.global_step * accumulate + batch_idx % accumulate
        torch.manual_seed((self.seed * 1_000_003 + number) * self.trainer.world_size + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log_dict(
            {"train/learning_rate": self.learning_rate(), "prune/step": float(self.earlier + self.global_step)}
        )
        return losses["loss"]

    def learning_rate(self) -> float:
        """The rate of the coming update."""
        return self.trainer.optimizers[0].param_groups[0]["lr"]

    def learned(self) -> Iterable[nn.Parameter]:
        """What the optimizer moves."""
        return self.parameters()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        fit = self.fit
        optimizer = torch.optim.AdamW(
            self.learned(), fit.learning_rate, BETAS, EPSILON, weight_decay=fit.weight_decay, fused=True
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, fit, self.cycles))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip here: Lightning refuses to clip for a fused optimizer under mixed precision."""
        if self.fit.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.fit.clip)
