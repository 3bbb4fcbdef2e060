"""Fine-tuning a wav2vec 2.0 encoder with a CTC head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from prune_bench.config import FeatureConfig, FitConfig
from prune_bench.data.audio import random_spans
from prune_bench.decoding.ctc import collapse
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.tasks.losses import ctc_loss
from prune_bench.tasks.recognition import Decoder, RecognitionTask

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch


class CtcTask(RecognitionTask):
    """CTC loss per unit on (batch, samples, 1) waveforms, or on (batch, frames, channels) that the convolutions made.

    The convolutions stay as they are.

    In training `features.time_masks` stretches of up to `features.time_width` encoder frames, at most a fifth of an
    utterance each, are hidden from the Transformer; for the first `head_only` of the fit's updates the head alone
    learns. With an encoder that normalises over time, give batches of one utterance to validate and to test.
    """

    model: Wav2Vec2

    def __init__(
        self,
        model: Wav2Vec2,
        fit: FitConfig,
        features: FeatureConfig,
        head_only: float = 0.0,
        seed: int = 0,
        tokenizer: Decoder | None = None,
    ):
        super().__init__(model, fit, seed, tokenizer)
        if model.aux is None:
            raise ValueError("the encoder has no CTC head: give its arch a vocabulary")
        self.masks, self.width = features.time_masks, features.time_width
        self.head_updates = round(head_only * fit.steps)
        model.feature_extractor.requires_grad_(False)
        model.encoder.feature_projection.register_forward_hook(self.hide)

    def hide(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Zero random stretches of the projected features, in training."""
        if not module.training or self.masks == 0:
            return output
        ends = torch.full((len(output),), output.shape[1], device=output.device)
        hidden = random_spans(self.masks, (ends // 5).clamp(max=self.width), ends, output.shape[1])
        return output.masked_fill(hidden.unsqueeze(-1), 0.0)

    def learned(self) -> Iterable[nn.Parameter]:
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits, lengths = self.model(batch.features.squeeze(-1), batch.lengths)
        loss = ctc_loss(logits, batch.targets, lengths, batch.target_lengths)
        return {"loss": loss / batch.target_lengths.sum()}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.global_step < self.head_updates:
            for parameter in self.model.encoder.parameters():
                parameter.grad = None

    def recognise(self, batch: Batch) -> list[list[int]]:
        logits, lengths = self.model(batch.features.squeeze(-1), batch.lengths)
        return collapse(logits, lengths)
