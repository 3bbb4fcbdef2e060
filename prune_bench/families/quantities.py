"""Numbers of finished runs, as a family names, reads and prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from prune_bench.families.rows import Finished

Columns = Mapping[str, Any]  # a row, of which a family reads what it added
Timing = Mapping[str, Any]
Counts = tuple[ArrayLike, ArrayLike]  # what a ratio sums above and below, both by utterance


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a finished run. Under the name `error.*` it stands for `error.test`, `error.dev` and so on.

    Attributes:
        title: What it is called, and `group` what a table writes above that; both label an axis. In them `*` stands for
            the rest of its name.
        read: Its value in a row, given what was timed together and the rest of its name; None where the row has none.
        ratio: The counts, in a row, of a ratio in percent, which has an interval; without them `read` gives the value.
        splits: The column of a row whose keys `*` stands for.
        rising: The quantity as a rising function of that ratio.
        digits: Decimals that are printed.
        compared: Whether tables print its change from the dense model, and three digits of it.
        less: What less of it means, where it is an axis: smaller or faster.
        drop: How early a narrow terminal leaves it out.
    """

    title: str
    group: str = ""
    read: Callable[[Finished, Timing, str], float | None] | None = None
    ratio: Callable[[Finished, str], Counts | None] | None = None
    splits: str = "utterances"
    rising: Callable[[float], float] = lambda percent: max(0.0, percent)
    digits: int = 2
    compared: bool = False
    less: str = "smaller"
    drop: int = 0

    def value(self, row: Finished, timing: Timing, which: str) -> float | None:
        """The number in a row, None where it has none."""
        counts = self.ratio(row, which) if self.ratio else None
        if counts is None:
            return self.read(row, timing, which) if self.read else None
        above, below = (float(np.sum(part)) for part in counts)
        return self.rising(100 * above / below)

    def heading(self, which: str) -> tuple[str, str]:
        """Its title and the group above it."""
        return self.title.replace("*", which), self.group.replace("*", which)

    def label(self, which: str) -> str:
        """What an axis is called."""
        title, group = self.heading(which)
        return f"{group}, {title}" if group else title


def column(key: str, unit: float = 1.0) -> Callable[[Columns, Timing, str], float | None]:
    """Reads a column of the row in a unit of so much; `*` in the key stands for the rest of the quantity's name."""

    def read(row: Columns, timing: Timing, which: str) -> float | None:
        value = row.get(key.replace("*", which))
        return None if value is None else value / unit

    return read
