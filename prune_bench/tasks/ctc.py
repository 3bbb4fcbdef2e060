"""Fine-tuning a wav2vec 2.0 encoder with a CTC head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from prune_bench.config import FeatureConfig, FinetuningConfig, FitConfig
from prune_bench.data.audio import random_spans
from prune_bench.decoding.ctc import collapse
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.tasks.losses import ctc_loss
from prune_bench.tasks.masking import mask_features
from prune_bench.tasks.recognition import Decoder, RecognitionTask

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch


class CtcTask(RecognitionTask):
    """CTC loss per token on (batch, samples, 1) waveforms, or on (batch, frames, channels) that the convolutions made.

    The convolutions stay as they are.

    In training frames and channels are hidden from the Transformer as `finetuning` says, or with
    `finetuning.mask_prob` 0 `features.time_masks` stretches of up to `features.time_width` encoder frames, at most a
    fifth of an utterance each. For the first `finetuning.head_only` of the fit's updates the head alone learns. With an
    encoder that normalises over time, give batches of one utterance to validate and to test.
    """

    model: Wav2Vec2

    def __init__(
        self,
        model: Wav2Vec2,
        fit: FitConfig,
        features: FeatureConfig,
        finetuning: FinetuningConfig | None = None,
        seed: int = 0,
        tokenizer: Decoder | None = None,
    ):
        super().__init__(model, fit, seed, tokenizer)
        if model.aux is None:
            raise ValueError("the encoder has no CTC head: give its arch a vocabulary")
        self.masks, self.width, self.tuning = features.time_masks, features.time_width, finetuning or FinetuningConfig()
        self.head_updates = round(self.tuning.head_only * fit.steps)
        self.frames: Tensor | None = None
        model.feature_extractor.requires_grad_(False)
        model.encoder.register_forward_pre_hook(self.note_frames)
        model.encoder.feature_projection.register_forward_hook(self.hide)

    def note_frames(self, module: nn.Module, inputs: tuple[Tensor, Tensor | None]) -> None:
        self.frames = inputs[1]

    def hide(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """The projected features with random frames and channels replaced, in training."""
        if not module.training:
            return output
        ends = torch.full((len(output),), output.shape[1], device=output.device)
        if self.tuning.mask_prob > 0 or self.tuning.mask_channel_prob > 0:
            lengths = ends if self.frames is None else self.frames
            output = mask_features(output, lengths, self.model.mask_embedding, self.tuning)
        if self.tuning.mask_prob > 0 or self.masks == 0:
            return output
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
            for name, parameter in self.model.named_parameters():
                if not name.startswith("aux."):
                    parameter.grad = None

    def recognise(self, batch: Batch) -> list[list[int]]:
        logits, lengths = self.model(batch.features.squeeze(-1), batch.lengths)
        return collapse(logits, lengths)
