"""Word error rates with their uncertainty: corpus counts and bootstraps over utterances and seeds.

Rates and differences are in percent of the reference words. Every bootstrap resamples whole utterances (Bisani and Ney
2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"), so that a rate is always the ratio
of summed errors to summed words and never a mean of ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 95.0


@dataclass(frozen=True)
class ErrorCounts:
    """Edits and reference words of each utterance, int64 arrays of shape (utterances,)."""

    errors: NDArray[np.int64]
    words: NDArray[np.int64]
    insertions: NDArray[np.int64]
    deletions: NDArray[np.int64]
    substitutions: NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """Error rate of `a` minus that of `b` in points, its 95 % interval and two-sided bootstrap p-value."""

    mean: float
    low: float
    high: float
    p: float


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


def word_error_rate(errors: ArrayLike, words: ArrayLike) -> float:
    """Corpus error rate in percent: summed errors over summed words. Raises ValueError when there are no words."""
    total = int(np.sum(words))
    if total == 0:
        raise ValueError("no reference words: an error rate needs at least one non-empty reference")
    return 100 * float(np.sum(errors)) / total


def bootstrap_interval(errors: ArrayLike, words: ArrayLike, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the error rate over resampled utterances, in percent."""
    counts = _resample(np.size(words), samples, np.random.default_rng(seed))
    return _interval(100 * (counts @ np.asarray(errors)) / (counts @ np.asarray(words)))


def paired_difference(
    errors_a: ArrayLike, errors_b: ArrayLike, words: ArrayLike, samples: int = 1000, seed: int = 0
) -> Difference:
    """Error rate of `a` minus that of `b` on the same utterances; each resample draws the same utterances for both."""
    return pooled_difference([errors_a], [errors_b], words, samples, seed)


def pooled_difference(
    errors_a: Sequence[ArrayLike], errors_b: Sequence[ArrayLike], words: ArrayLike, samples: int = 1000, seed: int = 0
) -> Difference:
    """Mean over seeds of the paired difference, with seeds and utterances both resampled.

    `errors_a` and `errors_b` hold one array of errors for each training seed, in the same order, all on the utterances
    of `words`. Each resample draws seeds with replacement and, independently, one set of utterances shared by all.
    Raises ValueError when an array does not have one count for each utterance.
    """
    words = np.asarray(words)
    gains = _stack(errors_a, words.size) - _stack(errors_b, words.size)
    draws = _draws(gains, words, samples, seed)
    low, high = _interval(draws)
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (samples + 1))
    return Difference(word_error_rate(gains.mean(axis=0), words), low, high, p)


def average_rate(
    groups: Sequence[tuple[Sequence[ArrayLike], ArrayLike]], samples: int = 1000
) -> tuple[float, float, float]:
    """Mean over groups (say, languages) of the error rate, and its 95 % interval, in percent.

    A group holds the errors of each of its seeds and the reference words. Groups are resampled apart from each other.
    """
    stacks = [(_stack(errors, np.size(words)), np.asarray(words)) for errors, words in groups]
    draws = [_draws(errors, words, samples, seed) for seed, (errors, words) in enumerate(stacks)]
    rates = [word_error_rate(errors.mean(axis=0), words) for errors, words in stacks]
    return (float(np.mean(rates)), *_interval(np.mean(draws, axis=0)))


def equivalent(difference: Difference, margin: float) -> bool:
    """Whether the whole 95 % interval lies within `margin` points of zero: two one-sided tests at 2.5 % each."""
    return -margin < difference.low and difference.high < margin


def _draws(counts: NDArray[Any], words: NDArray[Any], samples: int, seed: int) -> NDArray[np.float64]:
    """Rates in percent of (seeds, utterances) counts, seeds and utterances both resampled: (samples,)."""
    rng = np.random.default_rng(seed)
    utterances = _resample(words.size, samples, rng)
    by_seed = 100 * (utterances @ counts.T) / (utterances @ words)[:, None]
    return (by_seed * _resample(len(counts), samples, rng)).sum(axis=1) / len(counts)


def _resample(size: int, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `size` items falls into each of `samples` draws with replacement: (samples, size)."""
    draws = rng.integers(size, size=(samples, size)) + size * np.arange(samples)[:, None]
    return np.bincount(draws.ravel(), minlength=samples * size).reshape(samples, size).astype(np.float64)


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(draws, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def _stack(errors: Sequence[ArrayLike], utterances: int) -> NDArray[Any]:
    """Errors as (seeds, utterances)."""
    arrays = [np.asarray(one) for one in errors]
    for array in arrays:
        if array.shape != (utterances,):
            raise ValueError(f"errors of shape {array.shape} for {utterances} utterances: compare on the same split")
    return np.stack(arrays)
