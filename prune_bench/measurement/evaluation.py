"""Error rates of a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from prune_bench.data.batches import Batch, evaluation_batches
from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Tokenizer
from prune_bench.measurement.accuracy import count_errors, rate_of

Progress = Callable[[int, int], None]


def by_split(results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What `evaluate` returned for each split as columns of a row: `wer.test-clean`, `wer.test-clean.low` and so on."""
    row: dict[str, Any] = {"utterances": {split: one["utterances"] for split, one in results.items()}}
    for split, one in results.items():
        row[f"wer.{split}"] = one["wer"]
        row |= {f"wer.{split}.{name}": value for name, value in one.items() if name not in ("wer", "utterances")}
    return row


def part_of(progress: Progress, before: int, total: int) -> Progress:
    """Progress of one part of a whole of `total`, with `before` of it done."""
    return lambda done, of: progress(before + done, total)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    recognise: Callable[[Batch], list[list[int]]],
    store: FeatureStore,
    tokenizer: Tokenizer,
    batch_frames: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Error rate of `model`, put in eval mode and read by `recognise`, on every utterance of one split.

    Returns `wer` and its interval over utterances `low`, `high` (percent; None where there is none), `errors`, `words`
    (sums) and `utterances`: per-utterance `errors` and `words` in the order of the store. `progress(done, total)` is
    called with utterance counts after each batch.
    """
    device = next(model.parameters()).device
    model.eval()
    hypotheses = [""] * len(store)
    done = 0
    for batch in evaluation_batches(store, batch_frames):
        decoded = recognise(Batch(*(part.to(device) for part in batch)))
        for index, tokens in zip(batch.indices.tolist(), decoded, strict=True):
            hypotheses[index] = tokenizer.decode(tokens)
        done += len(decoded)
        if progress:
            progress(done, len(store))
    return judge(store.texts, hypotheses)


def judge(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Any]:
    """What `evaluate` returns, for hypotheses that are there."""
    counts = count_errors(references, hypotheses)
    rate = rate_of(counts.errors, counts.words)
    return {
        "wer": rate.mean,
        "low": rate.low,
        "high": rate.high,
        "errors": int(counts.errors.sum()),
        "words": int(counts.words.sum()),
        "utterances": {"errors": counts.errors.tolist(), "words": counts.words.tolist()},
    }
