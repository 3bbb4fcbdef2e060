"""Log-probabilities of sentences by a language model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from prune_bench.data.text.batches import IGNORED, TextBatch
from prune_bench.models.transformer_lm import LanguageModel


def cross_entropy(model: LanguageModel, batch: TextBatch) -> Tensor:
    """Nats of each sentence of a batch: (batch,)."""
    logits = model(batch.tokens).float()
    nats = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none")
    return nats.view(batch.targets.shape).sum(1)
