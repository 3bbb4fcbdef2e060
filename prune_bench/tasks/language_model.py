"""Training a language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prune_bench.config import FitConfig
from prune_bench.data.text.batches import TextBatch
from prune_bench.decoding.scoring import cross_entropy
from prune_bench.models.transformer_lm import LanguageModel
from prune_bench.tasks.training import TrainingTask


class LanguageModelTask(TrainingTask):
    """Cross-entropy in nats per token, the border that ends each sentence included; its exponential in validation."""

    model: LanguageModel

    def __init__(self, model: LanguageModel, fit: FitConfig, seed: int = 0):
        super().__init__(model, fit, seed)
        self.sums = torch.zeros(2)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": cross_entropy(self.model, batch).sum() / batch.lengths.sum()}

    def on_validation_epoch_start(self) -> None:
        self.sums = torch.zeros(2, device=self.device)

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        self.sums += torch.stack((cross_entropy(self.model, batch).sum(), batch.lengths.sum()))

    def on_validation_epoch_end(self) -> None:
        nats, tokens = self.trainer.strategy.reduce(self.sums, reduce_op="sum")
        self.log("valid/perplexity", (nats / tokens).exp(), prog_bar=True)
