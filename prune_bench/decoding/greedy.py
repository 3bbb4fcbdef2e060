"""Greedy transducer decoding, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from prune_bench.models.transducer import BLANK, Transducer

LONGEST_WINDOW = 32
WINDOW_ROWS = 1024


@torch.inference_mode()
def decode_greedy(
    model: Transducer, features: Tensor, lengths: Tensor | None = None, max_symbols: int = 5
) -> list[list[int]]:
    """The best token at each step for each utterance of (batch, frames, mels) features.

    At most `max_symbols` tokens a frame. With the model in eval mode the result does not depend on the batch.
    """
    hidden, frames = model.encoder(features, lengths)
    if frames is None:
        frames = torch.full(hidden.shape[:1], hidden.shape[1], device=hidden.device)
    return search_greedy(model, hidden, frames, max_symbols)


@torch.inference_mode()
def search_greedy(model: Transducer, hidden: Tensor, frames: Tensor, max_symbols: int = 5) -> list[list[int]]:
    """`decode_greedy` from encoder output (batch, frames, width) on.

    Each utterance walks its own lattice. As the predictor changes with tokens alone, a step scores a window of coming
    frames at once and jumps to the first that is not blank: hardly more steps than tokens in the longest result.
    """
    encoded = model.joiner.encoder(hidden)
    everyone = torch.arange(len(hidden), device=hidden.device)
    window = max(1, min(LONGEST_WINDOW, WINDOW_ROWS // len(hidden)))
    ahead = torch.arange(window, device=hidden.device)
    state = model.predictor.initial_state(len(hidden), hidden)
    output, state = model.predictor.step(torch.full_like(everyone, BLANK), state)
    predicted = model.joiner.predictor(output)
    frame, symbols = torch.zeros_like(everyone), torch.zeros_like(everyone)
    walk = []
    while bool((frame < frames).any()):
        places = frame[:, None] + ahead
        coming = encoded[everyone[:, None], places.clamp(max=encoded.shape[1] - 1)]
        best = model.joiner(coming, predicted[:, None]).argmax(-1)
        best = best.masked_fill(places >= frames[:, None], BLANK)
        speaks, first = (best != BLANK).max(-1)
        token = best[everyone, first]
        skipped = torch.where(speaks, first, window)
        symbols = torch.where(skipped > 0, 0, symbols) + speaks
        full = symbols >= max_symbols
        frame, symbols = frame + skipped + full, symbols.masked_fill(full, 0)
        walk.append(token)
        chosen = speaks.nonzero()[:, 0]
        output, new = model.predictor.step(token[chosen], tuple(part[chosen] for part in state))
        predicted[chosen] = model.joiner.predictor(output)
        for part, values in zip(state, new, strict=True):
            part[chosen] = values
    rows = torch.stack(walk, 1).tolist() if walk else [[] for _ in frames]
    return [[token for token in row if token != BLANK] for row in rows]
