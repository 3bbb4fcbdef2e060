"""Counts of several runs put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prune_bench.measurement.intervals import Counts


def pair(ratios: Sequence[tuple[float, Mapping[int, Counts]]]) -> list[Counts]:
    """A weighted sum of ratios, each with its counts by seed, as one sample of counts for each test set.

    What was measured on the same utterances is added seed by seed and utterance by utterance, for the seeds that all of
    it has. The list is empty where a ratio has no counts or a test set no such seed.
    """
    tests: dict[tuple[float, ...], list[tuple[float, Mapping[int, Counts]]]] = {}
    for weight, runs in ratios:
        if not runs:
            return []
        below = next(iter(runs.values())).below
        tests.setdefault(tuple(np.asarray(below).tolist()), []).append((weight, runs))
    samples = []
    for sizes, members in tests.items():
        shared = sorted(set.intersection(*(set(runs) for _, runs in members)))
        if not shared:
            return []
        above = [sum(weight * np.asarray(runs[seed].above) for weight, runs in members) for seed in shared]
        samples.append(Counts(np.stack(above), np.asarray(sizes)))
    return samples
