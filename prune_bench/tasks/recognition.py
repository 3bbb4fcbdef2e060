"""The validation error rate that all recognisers share in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import jiwer
import torch
from torch import nn

from prune_bench.config import FitConfig
from prune_bench.tasks.training import TrainingTask

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch


class Decoder(Protocol):
    """Turns tokens back into text."""

    def decode(self, tokens: Sequence[int]) -> str: ...


class RecognitionTask(TrainingTask):
    """A recogniser in training, its greedy word error rate in validation.

    A subclass gives `recognise(batch)` beside its losses. Without a tokenizer the error rate is over tokens.
    """

    def __init__(self, model: nn.Module, fit: FitConfig, seed: int = 0, tokenizer: Decoder | None = None):
        super().__init__(model, fit, seed)
        self.tokenizer = tokenizer
        self.counts = torch.zeros(2)

    def recognise(self, batch: Batch) -> list[list[int]]:
        """Tokens of each utterance, by the model in eval mode."""
        raise NotImplementedError

    def on_validation_epoch_start(self) -> None:
        self.counts = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        hypotheses = [self.text(tokens) for tokens in self.recognise(batch)]
        targets = zip(batch.targets.tolist(), batch.target_lengths.tolist(), strict=True)
        references = [self.text(tokens[:length]) for tokens, length in targets]
        alignment = jiwer.process_words(references, hypotheses)
        errors = alignment.substitutions + alignment.deletions + alignment.insertions
        self.counts += self.counts.new_tensor([errors, alignment.substitutions + alignment.deletions + alignment.hits])

    def on_validation_epoch_end(self) -> None:
        errors, words = self.trainer.strategy.reduce(self.counts, reduce_op="sum")
        self.log("valid/wer", 100 * errors / words, prog_bar=True)

    def text(self, tokens: list[int]) -> str:
        """Tokens as words; their numbers stand for words without a tokenizer."""
        return self.tokenizer.decode(tokens) if self.tokenizer else " ".join(map(str, tokens))
