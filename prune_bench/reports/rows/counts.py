"""Quantities that are ratios of counts: errors over words, nats over tokens, of all sentences or of a part of them.

`wer.SPLIT` is an error rate in percent, `alone.wer.SPLIT` that without a language model, `entropy.SPLIT` a cross
entropy in hundredths of a nat per token, whose differences are relative changes of the perplexity in percent; of each
`entropy.SPLIT.words` is by words. Sentences are ordered by how often their words occur in the training text: `.tail`
behind any of these is the rarest fifth, `.head` the most frequent one, `.body` what is between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prune_bench.measurement.intervals import Counts
from prune_bench.reports.rows.cells import Row

PARTS = {"tail": (0, 20), "body": (20, 80), "head": (80, 100)}
SOURCES = {"wer": ("utterances", "errors", "words"), "entropy": ("sentences", "nats", "units")}
ALONE = "alone."


def is_counted(quantity: str) -> bool:
    """Whether a quantity is such a ratio."""
    return quantity.removeprefix(ALONE).partition(".")[0] in SOURCES


def count(row: Row, quantity: str) -> Counts | None:
    """What a ratio sums above and below, sentence by sentence; None for a row that was not judged so."""
    kind, split, *more = quantity.removeprefix(ALONE).split(".")
    table, above, below = SOURCES[kind]
    judged = row.get(f"{ALONE if quantity.startswith(ALONE) else ''}{table}", {}).get(split)
    if judged is None:
        return None
    below = "words" if "words" in more else below
    counts = np.asarray(judged[above]), np.asarray(judged[below])
    part = next((one for one in more if one in PARTS), None)
    if part is None:
        return Counts(*counts)
    frequent = judged["frequent"] if "frequent" in judged else row.get("frequent", {}).get(split)
    return None if frequent is None else Counts(*(one[among(frequent, part)] for one in counts))


def among(frequent: Sequence[float], part: str) -> NDArray[np.int64]:
    """The places of the sentences of a part, rarest first."""
    low, high = (bound * len(frequent) // 100 for bound in PARTS[part])
    return np.argsort(frequent, kind="stable")[low:high]


def ratio(row: Row, quantity: str) -> float | None:
    """The quantity, in percent."""
    counts = count(row, quantity)
    return None if counts is None else 100 * float(np.sum(counts.above)) / float(np.sum(counts.below))


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
