"""95 % intervals of error rates, entropies and their differences, over training seeds and utterances.

S runs that differ in their seed are measured on the same U utterances, so that seeds and utterances are crossed random
effects. With y_su the errors of run s on utterance u and w_u its words, the rate r = sum_su y_su / (S sum_u w_u) is
linearised as a ratio estimator (Cochran 1977, "Sampling Techniques", chapter 6):

    z_su = (y_su - r w_u) / mean(w) = a_s + b_u + e_su    with variances A of seeds, B of utterances, E of the rest,
    Var(r) = A / S + B / U + E / (S U).

The two-way layout without replication (Searle, Casella and McCulloch 1992, "Variance Components", chapter 4) has mean
squares MS_a = U sum_s mean_u(z)^2 / (S - 1), MS_b = S sum_u mean_s(z)^2 / (U - 1) and MS_e of what these leave, with
the expectations E + U A, E + S B and E. They give the variance in two parts, and the interval r -+ t_nu sqrt(V):

    V = V_a + V_b,    V_a = MS_a / (S U) = what runs differ by,    V_b = max(0, MS_b - MS_e) / (S U) = what they share,
    1 / nu = (V_a / V) / (S - 1) + (V_b / V) / (U - 1).

A negative estimate of B counts as zero. That of A is never needed, as V_a holds A and E together; an interval that
leaves A out where its estimate is negative covers as little as 90 % with three seeds. nu is the lower bound of
Satterthwaite's V^2 / sum V_i^2 / nu_i (1946, "An approximate distribution of estimates of variance components"), which
covers 92 % there; this one covers 94 to 97 % from three seeds on, whatever seeds and utterances contribute, and down to
91 % with two (`experiments/benchmarks/coverage.py`). Resampling seeds and utterances, in contrast, counts E twice or
more (Owen 2007, "The pigeonhole bootstrap") and sees (S - 1) / S of A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
NOTHING = 1e-9  # a standard error, in percent, that is rounding alone


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval from `low` to `high`; both are None where no interval can be had.

    `seeds` is how many seeds the interval is over; with one it covers utterances only.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1

    @property
    def reach(self) -> tuple[float, float]:
        """How far the interval reaches below and above the mean; nowhere if there is none."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        return self.mean - self.low, self.high - self.mean

    def transform(self, rising: Callable[[float], float]) -> Estimate:
        """The estimate of a rising function of the number."""
        low, high = (None if bound is None else rising(bound) for bound in (self.low, self.high))
        return Estimate(rising(self.mean), low, high, self.seeds)


class Counts(NamedTuple):
    """What a ratio sums above, (seeds, utterances) or (utterances,) for one seed, and below, (utterances,)."""

    above: ArrayLike
    below: ArrayLike


class Part(NamedTuple):
    """A part of an estimate's variance, and the degrees of freedom that it is known with."""

    variance: float
    freedom: int


def estimate_ratio(*samples: Counts) -> Estimate:
    """Sum over samples of 100 sum(above) / (seeds sum(below)), in percent.

    Samples are independent of each other, as the test sets of two languages are. If one of them has a single seed, the
    interval covers utterances only. There is none where a sample has one utterance, or none of its counts differ.
    Raises ValueError for counts of other shapes and for samples whose sum below is 0.
    """
    arrays = [_check(sample) for sample in samples]
    seeds = min(len(above) for above, _ in arrays)
    mean = sum(float(above.sum() / len(above) / below.sum()) for above, below in arrays)
    parts = [part for above, below in arrays for part in _parts(_linearise(above, below, seeds))]
    if any(below.size < 2 for _, below in arrays):
        return Estimate(100 * mean, seeds=seeds)
    return _interval(100 * mean, parts, seeds)


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Mean of one value a seed, with Student's interval over seeds; a single value has none."""
    mean, seeds = float(np.mean(values)), len(values)
    if seeds == 1:
        return Estimate(mean)
    half = float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * np.std(values, ddof=1) / math.sqrt(seeds))
    return Estimate(mean, mean - half, mean + half, seeds)


def crossed_parts(effects: NDArray[np.float64]) -> tuple[Part, Part]:
    """V_a and V_b of effects (..., seeds, utterances) with a mean of 0; arrays if there are dimensions before these."""
    *_, seeds, utterances = effects.shape
    by_seed, by_utterance = effects.mean(-1, keepdims=True), effects.mean(-2, keepdims=True)
    ms_seeds = utterances * (by_seed**2).sum((-1, -2)) / (seeds - 1)
    ms_utterances = seeds * (by_utterance**2).sum((-1, -2)) / (utterances - 1)
    rest = ((effects - by_seed - by_utterance) ** 2).sum((-1, -2)) / ((seeds - 1) * (utterances - 1))
    shared = np.maximum(0.0, ms_utterances - rest)
    size = seeds * utterances
    return Part(ms_seeds / size, seeds - 1), Part(shared / size, utterances - 1)


def half_width(parts: Sequence[Part]) -> NDArray[np.float64]:
    """Half of an interval, t_nu sqrt(V), from the parts of V."""
    total = np.sum([part.variance for part in parts], axis=0)
    weighted = np.sum([part.variance / part.freedom for part in parts], axis=0)
    return stats.t.ppf((1 + LEVEL) / 2, total / weighted) * np.sqrt(total)


def _check(sample: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    above, below = np.atleast_2d(np.asarray(sample.above, dtype=float)), np.asarray(sample.below, dtype=float)
    if above.shape[1:] != below.shape:
        raise ValueError(f"counts of shape {above.shape} for {below.size} utterances: compare on the same split")
    if not below.sum():
        raise ValueError("no reference words: an error rate needs at least one non-empty reference")
    return above, below


def _linearise(above: NDArray[np.float64], below: NDArray[np.float64], seeds: int) -> NDArray[np.float64]:
    """z, of the mean over seeds if an interval over seeds cannot be had."""
    kept = above.mean(axis=0, keepdims=True) if seeds == 1 else above
    return (kept - kept.mean(axis=0).sum() / below.sum() * below) / below.mean()


def _parts(effects: NDArray[np.float64]) -> tuple[Part, ...]:
    seeds, utterances = effects.shape
    if utterances < 2:
        return ()
    if seeds == 1:
        return (Part(float((effects**2).sum()) / (utterances - 1) / utterances, utterances - 1),)
    return crossed_parts(effects)


def _interval(mean: float, parts: Sequence[Part], seeds: int) -> Estimate:
    if 100 * math.sqrt(sum(part.variance for part in parts)) < NOTHING:
        return Estimate(mean, seeds=seeds)
    half = 100 * float(half_width(parts))
    return Estimate(mean, mean - half, mean + half, seeds)
