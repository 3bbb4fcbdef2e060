"""Error rates of a recogniser with a language model's help: the encoder is run once, its output read many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prune_bench.data.batches import by_frames, evaluation_batches
from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Tokenizer
from prune_bench.decoding.beam import search_beam
from prune_bench.decoding.fusion import Fusion
from prune_bench.measurement.evaluation import Progress, judge
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel

ROWS = 1024  # hypotheses that are searched at once


class Encoded(NamedTuple):
    """Encoder output (frames, width) of each utterance, and its transcript."""

    hidden: list[Tensor]
    texts: list[str]


@torch.inference_mode()
def encode(model: Transducer, store: FeatureStore, count: int, batch_frames: int) -> Encoded:
    """The first `count` utterances of a split (0: all) through the encoder of `model`, put in eval mode."""
    kept = store.select(list(range(min(count, len(store)) if count else len(store))), {})
    hidden: list[Tensor] = [torch.empty(0)] * len(kept)
    device = next(model.eval().parameters()).device
    for batch in evaluation_batches(kept, batch_frames):
        output, lengths = model.encoder(batch.features.to(device), batch.lengths.to(device))
        assert lengths is not None
        for index, frames, length in zip(batch.indices.tolist(), output, lengths.tolist(), strict=True):
            hidden[index] = frames[:length].cpu().clone()
    return Encoded(hidden, kept.texts)


def transcribe(
    model: Transducer,
    encoded: Encoded,
    tokenizer: Tokenizer,
    beam: int,
    max_symbols: int,
    fusion: Fusion | None,
    progress: Progress | None = None,
) -> list[str]:
    """The best hypothesis of each utterance by beam search, in words."""
    device = next(model.parameters()).device
    lengths = np.array([len(frames) for frames in encoded.hidden])
    order = np.argsort(-lengths, kind="stable")
    hypotheses, done = [""] * len(lengths), 0
    for batch in by_frames(order, np.ones_like(lengths), max(1, ROWS // beam)):
        hidden = pad_sequence([encoded.hidden[index] for index in batch], batch_first=True).to(device)
        beams = search_beam(model, hidden, torch.from_numpy(lengths[batch]).to(device), beam, max_symbols, fusion)
        for index, best in zip(batch.tolist(), beams, strict=True):
            hypotheses[index] = tokenizer.decode(best[0].tokens)
        done += len(batch)
        if progress:
            progress(done, len(lengths))
    return hypotheses


def tune(
    recognise: Callable[[Encoded, Fusion], Sequence[str]],
    model: LanguageModel,
    dev: Mapping[str, Encoded],
    weights: Sequence[float],
    internal: Sequence[float],
) -> dict[str, Any]:
    """The `weight` and the `internal` weight of the smallest mean error rate over `dev` splits, and all `tried`."""
    tried = []
    for pair in product(weights, internal):
        rates = {split: judge(part.texts, recognise(part, Fusion(model, *pair)))["wer"] for split, part in dev.items()}
        tried.append({"weight": pair[0], "internal": pair[1], **rates})
    best = min(tried, key=lambda rates: sum(rates[split] for split in dev))
    return {"weight": best["weight"], "internal": best["internal"], "tried": tried}
