"""Spans of frames and channels that are hidden from an encoder in training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from prune_bench.config import FinetuningConfig

FEWEST = 2  # spans of frames in an utterance, however short


def mask_features(features: Tensor, lengths: Tensor, embedding: Tensor | None, tuning: FinetuningConfig) -> Tensor:
    """(batch, frames, width) features with spans of frames replaced by `embedding`, then spans of channels by zeros.

    Spans lie within the `lengths` frames of each utterance and differ between utterances. Without an embedding frames
    are zeros, too. The masks that wav2vec 2.0 is fine-tuned with (Baevski et al., 2020, appendix B).
    """
    frames, width = features.shape[1:]
    if tuning.mask_prob > 0:
        hidden = fixed_spans(lengths, frames, tuning.mask_prob, tuning.mask_length, FEWEST)
        vector = features.new_zeros(width) if embedding is None else embedding.to(features.dtype)
        features = torch.where(hidden.unsqueeze(2), vector, features)
    if tuning.mask_channel_prob > 0:
        widths = torch.full_like(lengths, width)
        hidden = fixed_spans(widths, width, tuning.mask_channel_prob, tuning.mask_channel_length)
        features = features.masked_fill(hidden.unsqueeze(1), 0.0)
    return features


def fixed_spans(ends: Tensor, size: int, probability: float, length: int, fewest: int = 0) -> Tensor:
    """(rows, size) mask of spans of `length` places within [0, end) of each row, which may overlap.

    A row has `probability` end / `length` spans on the average, this number rounded up or down at random, and at least
    `fewest`. Their starts are drawn without replacement from [0, end - length), or from the first places, one more than
    there are spans, where that is too short: the definition of fairseq.
    """
    expected = probability * ends / length
    count = (expected + torch.rand(len(ends), device=ends.device)).long().clamp(min=fewest)
    starts = torch.maximum(ends - length, count + 1).minimum(ends)
    place = torch.arange(size, device=ends.device)
    draws = torch.rand(len(ends), size, device=ends.device).masked_fill(place >= starts.unsqueeze(1), 2.0)
    chosen = (draws.argsort(1).argsort(1) < count.unsqueeze(1)) & (place < starts.unsqueeze(1))
    return widened(chosen, length) & (place < ends.unsqueeze(1))


def widened(starts: Tensor, length: int) -> Tensor:
    """(rows, size) mask of the `length` places from each start on."""
    return F.max_pool1d(F.pad(starts.float(), (length - 1, 0))[:, None], length, stride=1)[:, 0] > 0
