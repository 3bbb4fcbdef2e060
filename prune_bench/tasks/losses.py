"""Transducer and CTC losses, summed over a batch."""

from __future__ import annotations

from typing import Any

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

IMPOSSIBLE = -1e4


def transducer_loss(logits: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log-likelihood of the targets under a transducer (Graves, 2012), summed over the batch.

    Equal to torchaudio's `rnnt_loss` on the same logits (batch, frames, tokens + 1, vocabulary), blank 0. Each node of
    the lattice uses two log-probabilities alone, those of the blank and of the next target, so the lattice is handed
    over with two classes instead of the vocabulary.
    """
    tokens = targets[:, None, :, None].expand(-1, logits.shape[1], -1, -1)
    return torchaudio.functional.rnnt_loss(
        _NodeScores.apply(logits.float(), tokens),
        torch.ones_like(targets, dtype=torch.int32),
        lengths.int(),
        target_lengths.int(),
        blank=0,
        reduction="sum",
        fused_log_softmax=False,
    )


class _NodeScores(torch.autograd.Function):
    """Log-probabilities of the blank and of the token that follows each node: (batch, frames, tokens + 1, 2).

    By hand, because the gradient of two entries of a softmax needs one pass over the vocabulary instead of four.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor) -> Tensor:
        norm = logits.logsumexp(-1, keepdim=True)
        ctx.save_for_backward(logits, norm, tokens)
        emit = F.pad(logits[:, :, :-1].gather(-1, tokens) - norm[:, :, :-1], (0, 0, 0, 1), value=IMPOSSIBLE)
        return torch.cat((logits[..., :1] - norm, emit), -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        logits, norm, tokens = ctx.saved_tensors
        by_logits = (logits - norm).exp_().mul_(-gradient.sum(-1, keepdim=True))
        by_logits[..., 0] += gradient[..., 0]
        by_logits[:, :, :-1].scatter_add_(-1, tokens, gradient[:, :, :-1, 1:])
        return by_logits, None


def ctc_loss(logits: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """CTC loss of (batch, frames, vocabulary) logits, blank 0, summed over the batch; impossible utterances give 0."""
    scores = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(scores, targets, lengths, target_lengths, reduction="sum", zero_infinity=True)
