"""Word error rates from the edits of each utterance, and differences of two on the same utterances.

Rates and differences are in percent of the reference words, always the ratio of summed errors to summed words and never
a mean of ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prune_bench.measurement.intervals import Counts, Estimate, estimate_ratio


@dataclass(frozen=True)
class ErrorCounts:
    """Edits and reference words of each utterance, int64 arrays of shape (utterances,)."""

    errors: NDArray[np.int64]
    words: NDArray[np.int64]
    insertions: NDArray[np.int64]
    deletions: NDArray[np.int64]
    substitutions: NDArray[np.int64]


def count_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Edits that turn each hypothesis into its reference, words separated by spaces.

    An empty reference counts no words and every hypothesised word as an insertion.
    Raises ValueError when the two sequences differ in length.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references for {len(hypotheses)} hypotheses: give as many of each")
    output = jiwer.process_words(list(references), list(hypotheses))
    kinds = {"insert": 0, "delete": 1, "substitute": 2}
    counts = np.zeros((3, len(references)), dtype=np.int64)
    for utterance, chunks in enumerate(output.alignments):
        for chunk in chunks:
            if chunk.type in kinds:
                extent = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                counts[kinds[chunk.type], utterance] += extent
    words = np.array([len(words) for words in output.references], dtype=np.int64)
    return ErrorCounts(counts.sum(axis=0), words, *counts)


def rate_of(errors: ArrayLike, words: ArrayLike) -> Estimate:
    """Error rate with its interval, which ends at 0; errors are (utterances,) or (seeds, utterances)."""
    return estimate_ratio(Counts(errors, words)).transform(lambda rate: max(0.0, rate))


def paired_difference(errors_a: ArrayLike, errors_b: ArrayLike, words: ArrayLike) -> Estimate:
    """Error rate of `a` minus that of `b` in points, with its interval, on the same utterances.

    Errors are (utterances,), or (seeds, utterances) with the same seed in the same place of both.
    """
    return estimate_ratio(Counts(np.asarray(errors_a) - np.asarray(errors_b), words))
