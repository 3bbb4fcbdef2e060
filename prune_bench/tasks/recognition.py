"""What every recogniser's training shares: optimizer, schedule, clipping, repeatable noise, validation error rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jiwer
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from prune_bench.config import FitConfig

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch

FLOOR = 0.02


class Decoder(Protocol):
    """What turns units back into text."""

    def decode(self, units: Sequence[int]) -> str: ...


class RecognitionTask(LightningModule):
    """A recogniser `model` in training: AdamW with warm-up and cosine, greedy word error rate.

    A subclass gives `losses(batch)`, the first one to be minimised, and `recognise(batch)`. Works with any Trainer;
    the schedule spans `fit.steps` updates and gradients are clipped to `fit.clip` here, so the Trainer needs
    `max_steps=fit.steps`, full precision or bf16-mixed, and no clipping of its own. All randomness of a training batch
    comes from (seed, update, batch within the update, rank): a resumed fit repeats an uninterrupted one. Without a
    tokenizer the error rate is over units.
    """

    def __init__(self, model: nn.Module, fit: FitConfig, seed: int = 0, tokenizer: Decoder | None = None):
        super().__init__()
        self.model = model
        self.fit, self.seed, self.tokenizer = fit, seed, tokenizer
        self.counts = torch.zeros(2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; the first one, `loss`, is minimised."""
        raise NotImplementedError

    def recognise(self, batch: Batch) -> list[list[int]]:
        """Units of each utterance, by the model in eval mode."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        accumulate = self.trainer.accumulate_grad_batches
        number = self.global_step * accumulate + batch_idx % accumulate
        torch.manual_seed((self.seed * 1_000_003 + number) * self.trainer.world_size + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log_dict({"train/learning_rate": self.learning_rate(), "prune/step": float(self.global_step)})
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
            self.learned(), fit.learning_rate, betas=(0.9, 0.98), weight_decay=fit.weight_decay, fused=True
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_cosine(step, fit.steps, round(fit.warmup * fit.steps))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip here: Lightning refuses to clip for a fused optimizer under mixed precision."""
        torch.nn.utils.clip_grad_norm_(self.parameters(), self.fit.clip)

    def on_validation_epoch_start(self) -> None:
        self.counts = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        hypotheses = [self.text(units) for units in self.recognise(batch)]
        targets = zip(batch.targets.tolist(), batch.target_lengths.tolist(), strict=True)
        references = [self.text(units[:length]) for units, length in targets]
        found = jiwer.process_words(references, hypotheses)
        errors = found.substitutions + found.deletions + found.insertions
        self.counts += self.counts.new_tensor([errors, found.substitutions + found.deletions + found.hits])

    def on_validation_epoch_end(self) -> None:
        errors, words = self.trainer.strategy.reduce(self.counts, reduce_op="sum")
        self.log("valid/wer", 100 * errors / words, prog_bar=True)

    def text(self, units: list[int]) -> str:
        """Units as words; their numbers stand for words without a tokenizer."""
        return self.tokenizer.decode(units) if self.tokenizer else " ".join(map(str, units))


def warm_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak rate for the update after `step` finished ones: linear from 0, cosine to 2 % at the end."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
