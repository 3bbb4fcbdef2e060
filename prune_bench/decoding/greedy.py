"""Greedy transducer decoding, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from prune_bench.models.transducer import BLANK, Transducer


@torch.inference_mode()
def decode_greedy(
    model: Transducer, features: Tensor, lengths: Tensor | None = None, max_symbols: int = 5
) -> list[list[int]]:
    """The best unit at each step for each utterance of (batch, frames, mels) features.

    At most `max_symbols` units a frame. With the model in eval mode the result does not depend on the batch.
    """
    hidden, frames = model.encoder(features, lengths)
    if frames is None:
        frames = torch.full(hidden.shape[:1], hidden.shape[1], device=hidden.device)
    return search_greedy(model, hidden, frames, max_symbols)


@torch.inference_mode()
def search_greedy(model: Transducer, hidden: Tensor, frames: Tensor, max_symbols: int = 5) -> list[list[int]]:
    """`decode_greedy` from encoder output (batch, frames, width) on.

    Each utterance walks its own lattice: a blank moves it on by one frame, any other unit stays on the frame and
    advances the predictor. The loop runs for the longest walk, not for every frame times its most talkative utterance.
    """
    encoded = model.joiner.encoder(hidden)
    everyone = torch.arange(len(hidden), device=hidden.device)
    state = model.predictor.initial_state(len(hidden), hidden)
    output, state = model.predictor.step(torch.full_like(everyone, BLANK), state)
    predicted = model.joiner.predictor(output)
    frame, symbols = torch.zeros_like(everyone), torch.zeros_like(everyone)
    walk = []
    while bool((active := frame < frames).any()):
        logits = model.joiner(encoded[everyone, frame.clamp(max=encoded.shape[1] - 1)], predicted)
        unit = logits.argmax(-1).masked_fill(~active, BLANK)
        walk.append(unit)
        emitted = unit != BLANK
        if bool(emitted.any()):
            chosen = emitted.nonzero()[:, 0]
            output, new = model.predictor.step(unit[chosen], tuple(part[chosen] for part in state))
            predicted[chosen] = model.joiner.predictor(output)
            for part, values in zip(state, new, strict=True):
                part[chosen] = values
        symbols = torch.where(emitted, symbols + 1, 0)
        onward = ~emitted | (symbols >= max_symbols)
        symbols = symbols.masked_fill(onward, 0)
        frame = frame + onward
    rows = torch.stack(walk, 1).tolist() if walk else [[] for _ in frames]
    return [[unit for unit in row if unit != BLANK] for row in rows]
