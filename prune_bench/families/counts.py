"""What the ratios of a row sum, utterance by utterance or sentence by sentence, of all of them or of a part.

They are ordered by how often their words occur in the training text: `.tail` behind the name of a split is the rarest
fifth, `.head` the most frequent one, `.body` what is between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prune_bench.families.quantities import Columns
from prune_bench.measurement.intervals import Counts

PARTS = {"tail": (0, 20), "body": (20, 80), "head": (80, 100)}


def word_errors(row: Columns, which: str, alone: bool = False) -> Counts | None:
    """Errors over words of a split (`test-clean`, `test-clean.tail`); with `alone`, those without a language model."""
    split, _, part = which.partition(".")
    counts = row.get("alone.utterances" if alone else "utterances", {}).get(split)
    return counts and _part(counts, ("errors", "words"), part, row.get("frequent", {}).get(split))


def entropies(row: Columns, which: str) -> Counts | None:
    """Nats over tokens of a text split (`test`), with `.words` over words (`test.words`, `test.words.tail`)."""
    split, *more = which.split(".")
    counts = row.get("sentences", {}).get(split)
    part = next((one for one in more if one in PARTS), "")
    return counts and _part(counts, ("nats", "words" if "words" in more else "units"), part, counts.get("frequent"))


def _part(
    counts: Mapping[str, Any], keys: tuple[str, str], part: str, frequent: Sequence[float] | None
) -> Counts | None:
    above, below = (np.asarray(counts[key]) for key in keys)
    if not part:
        return Counts(above, below)
    if frequent is None or part not in PARTS:
        return None
    places = among(frequent, part)
    return Counts(above[places], below[places])


def among(frequent: Sequence[float], part: str) -> NDArray[np.int64]:
    """The places of the sentences of a part, rarest first."""
    low, high = (bound * len(frequent) // 100 for bound in PARTS[part])
    return np.argsort(frequent, kind="stable")[low:high]
