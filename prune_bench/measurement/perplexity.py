"""Perplexities with their uncertainty, by tokens, by words, and by how frequent the words are.

Every sentence ends with its border, which counts as a token and as a word. Intervals are over sentences and
on the scale of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from prune_bench.data.text.batches import text_evaluation
from prune_bench.data.text.store import TextStore
from prune_bench.decoding.scoring import cross_entropy
from prune_bench.measurement.evaluation import Progress
from prune_bench.measurement.intervals import Counts, estimate_ratio
from prune_bench.models.transformer_lm import LanguageModel


@torch.inference_mode()
def score_sentences(model: LanguageModel, store: TextStore, progress: Progress | None = None) -> NDArray[np.float64]:
    """Nats of each sentence by `model`, put in eval mode, in the order of the store."""
    device = next(model.parameters()).device
    model.eval()
    nats, done = np.zeros(len(store)), 0
    for batch in text_evaluation(store):
        nats[batch.indices.numpy()] = cross_entropy(model, type(batch)(*(part.to(device) for part in batch))).cpu()
        done += len(batch.indices)
        if progress:
            progress(done, len(store))
    return nats


def perplexity(nats: ArrayLike, counts: ArrayLike) -> float:
    """exp of summed nats over summed counts."""
    return math.exp(float(np.sum(nats)) / float(np.sum(counts)))


def measure_perplexity(
    model: LanguageModel,
    store: TextStore,
    frequencies: Mapping[str, int],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Perplexities of a split, given the counts of words in the training text.

    Returns the perplexity per token, `units`, with `low` and `high`, that per word, `words`, and under `sentences` the
    `nats`, tokens (`units`), `words` and relative frequency (`frequent`) of each.
    """
    nats = score_sentences(model, store, progress)
    tokens = store.lengths(np.arange(len(store))) + 1
    words = np.array([len(text.split()) + 1 for text in store.texts])
    found = estimate_ratio(Counts(nats, tokens)).transform(lambda hundredths: math.exp(hundredths / 100))
    return {
        "units": found.mean,
        "low": found.low,
        "high": found.high,
        "words": perplexity(nats, words),
        "sentences": {
            "nats": np.round(nats, 4).tolist(),
            "units": tokens.tolist(),
            "words": words.tolist(),
            "frequent": frequent(store.texts, frequencies),
        },
    }


def frequent(texts: Sequence[str], frequencies: Mapping[str, int]) -> list[float]:
    """Mean over a sentence's words of log10(1 + count in the training text): small for rare words."""
    logs = ([math.log10(1 + frequencies.get(word, 0)) for word in text.split()] for text in texts)
    return [round(sum(each) / len(each), 4) if each else 0.0 for each in logs]
