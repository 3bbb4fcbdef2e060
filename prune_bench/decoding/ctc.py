"""Greedy CTC decoding."""

from __future__ import annotations

import torch
from torch import Tensor

BLANK = 0


def collapse(logits: Tensor, lengths: Tensor | None = None) -> list[list[int]]:
    """The best token of each frame of (batch, frames, vocabulary), repetitions merged, then blanks left out."""
    frames = [logits.shape[1]] * len(logits) if lengths is None else lengths.tolist()
    paths = logits.argmax(-1).cpu()
    merged = (torch.unique_consecutive(path[:end]) for path, end in zip(paths, frames, strict=True))
    return [tokens[tokens != BLANK].tolist() for tokens in merged]
