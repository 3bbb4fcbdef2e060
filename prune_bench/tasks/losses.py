"""Transducer and CTC losses, summed over a batch."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

IMPOSSIBLE = -1e4


def transducer_loss(logits: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log-likelihood of the targets under a transducer (Graves, 2012), summed over the batch.

    Equal to torchaudio's `rnnt_loss` on the same logits (batch, frames, units + 1, vocabulary), blank 0. Each node of
    the lattice uses two log-probabilities alone, those of the blank and of the next target, so the lattice is handed
    over with two classes instead of the vocabulary.
    """
    scores = logits.float()
    blank, emit = scores[..., 0], scores[:, :, :-1].gather(-1, next_units(scores, targets))[..., 0]
    norm = scores.logsumexp(-1)
    emit = F.pad(emit - norm[:, :, :-1], (0, 1), value=IMPOSSIBLE)
    lattice = torch.stack((blank - norm, emit), -1)
    return torchaudio.functional.rnnt_loss(
        lattice,
        torch.ones_like(targets, dtype=torch.int32),
        lengths.int(),
        target_lengths.int(),
        blank=0,
        reduction="sum",
        fused_log_softmax=False,
    )


def next_units(scores: Tensor, targets: Tensor) -> Tensor:
    """The target that follows each node of the lattice, (batch, frames, units, 1)."""
    return targets[:, None, :, None].expand(-1, scores.shape[1], -1, -1)


def ctc_loss(logits: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """CTC loss of (batch, frames, vocabulary) logits, blank 0, summed over the batch; impossible utterances give 0."""
    scores = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(scores, targets, lengths, target_lengths, reduction="sum", zero_infinity=True)
