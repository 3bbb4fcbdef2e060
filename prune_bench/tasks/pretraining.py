"""Self-supervised pretraining of a wav2vec 2.0 encoder: predict the clusters of hidden frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prune_bench.config import PretrainingConfig
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.tasks.clusters import ClusterTargets
from prune_bench.tasks.masking import widened
from prune_bench.tasks.training import TrainingTask

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch


class PretrainingTask(TrainingTask):
    """Masked prediction on (batch, samples, 1) waveforms (HuBERT, Hsu et al., 2021); transcripts are not read.

    A masked span of `options.mask_length` frames starts at each frame with probability `options.mask_start`; a learned
    vector replaces masked frames before the Transformer. The loss is the cross-entropy of the frames' clusters in nats
    per frame, where an unmasked frame has `options.unmasked_weight` times the weight of a masked one; `accuracy` is of
    masked frames. The head and the vector belong to pretraining alone; the encoder is `model`.
    """

    model: Wav2Vec2

    def __init__(self, model: Wav2Vec2, targets: ClusterTargets, options: PretrainingConfig):
        super().__init__(model, options.fit, options.seed)
        self.targets, self.options = targets, options
        self.head = nn.Linear(model.arch.width, len(targets.centres))
        self.vector = nn.Parameter(torch.empty(model.arch.width).uniform_())
        self.hidden: Tensor | None = None
        model.encoder.feature_projection.register_forward_hook(self.hide)

    def hide(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Put the vector in the place of stretches of the projected features."""
        self.hidden = spans(output.shape[:2], self.options.mask_start, self.options.mask_length, output.device)
        return torch.where(self.hidden[..., None], self.vector.to(output.dtype), output)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        waveforms = batch.features.squeeze(-1)
        states, frames = self.model(waveforms, batch.lengths)
        assert frames is not None
        assert self.hidden is not None
        targets = self.targets(waveforms, frames)
        inside = torch.arange(states.shape[1], device=states.device) < frames[:, None]
        weights = torch.where(self.hidden, 1.0, self.options.unmasked_weight) * inside
        judged = weights > 0
        logits, targets, weights = self.head(states[judged]).float(), targets[judged], weights[judged]
        loss = (weights * F.cross_entropy(logits, targets, reduction="none")).sum() / weights.sum()
        right = (logits.argmax(-1) == targets)[self.hidden[judged]].float().mean()
        return {"loss": loss, "accuracy": right}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for name, value in self.losses(batch).items():
            self.log(f"valid/{name}", value, batch_size=len(batch.lengths), sync_dist=True)


def spans(shape: torch.Size, start: float, length: int, device: torch.device) -> Tensor:
    """(batch, frames) mask of stretches of `length` frames, each frame the first of one with chance `start`.

    At least one frame of each row is hidden.
    """
    starts = (torch.rand(shape, device=device) < start).float()
    starts[torch.arange(shape[0], device=device), torch.randint(shape[1], (shape[0],), device=device)] = 1.0
    return widened(starts, length)
