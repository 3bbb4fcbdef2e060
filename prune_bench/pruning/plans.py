"""Plans: the schedule of a row, before the sparsity and the length of the fit are known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from prune_bench.pruning.axes import FACTORS, GATES, MASKS, Axis
from prune_bench.pruning.knobs import Knobs, read_sparsities
from prune_bench.pruning.schedules import (
    Consecutive,
    OneShot,
    Polynomial,
    Ramp,
    Repeated,
    Rounds,
    Schedule,
    round_targets,
)


class Plan(Axis):
    """Makes the schedule that ends at a sparsity in a fit of so many updates."""

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        raise NotImplementedError


@dataclass(frozen=True)
class Once(Plan):
    """One mask, drawn at the fraction `at` of the fit."""

    label = "one-shot"
    knobs = ("at",)

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        return OneShot(sparsity, round(knobs.at * updates))


@dataclass(frozen=True)
class OnceCalibrated(Plan):
    """One mask, drawn when the batches of the first fraction `calibration` of the fit have been seen."""

    label = "one-shot"
    knobs = ("calibration",)

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        return OneShot(sparsity, round(knobs.calibration * updates))


@dataclass(frozen=True)
class AtStart(Plan):
    """Before the first update, when the optimizer is not yet made."""

    label = "one-shot"
    means = (MASKS, FACTORS)

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        return OneShot(sparsity)


@dataclass(frozen=True)
class Repeatedly(Plan):
    """The same sparsity from the start, a mask drawn every `interval` (PARP, Algorithm 1)."""

    label = "one-shot, drawn again every n updates"
    knobs = ("interval",)

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        return Repeated(sparsity, spacing(knobs.interval, updates))


@dataclass(frozen=True)
class Linear(Plan):
    """A sparsity that rises linearly, from `start` or from `behind` less than its end, until the fraction `progress` of
    the fit.
    """

    behind: float = 0.2

    label = "linear, drawn every n updates"
    knobs = ("interval", "progress", "start")

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        start = max(0.0, sparsity - self.behind) if knobs.start is None else knobs.start
        if start > sparsity:
            raise ValueError(f"start={start} is above sparsity={sparsity}: the sparsity rises from start")
        return Polynomial(
            start, sparsity, 0, round(knobs.progress * updates), spacing(knobs.interval, updates), power=1
        )


@dataclass(frozen=True)
class Cubic(Plan):
    """A sparsity that rises as a cubic until the fraction `progress` (Zhu & Gupta, 2017).

    With `intermediate` sparsities the fit is divided into as many equal parts and one more, each with a rise from the
    sparsity before and a recovery.
    """

    label = "cubic, drawn every n updates"
    knobs = ("interval", "progress", "intermediate")

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        sizes = sorted(read_sparsities(knobs.intermediate, below=sparsity))
        asked = (*sizes, sparsity)
        length = updates // len(asked)
        ramp, interval = round(knobs.progress * length), spacing(knobs.interval, updates / len(asked))
        if sizes and ramp >= length:
            raise ValueError(f"{updates} updates leave none to recover at each of {len(asked)} sizes: train longer")
        parts = (Polynomial(first, last, 0, ramp, interval) for first, last in pairwise((0.0, *asked)))
        return Consecutive(tuple(parts), length, tuple(sizes))


@dataclass(frozen=True)
class Iteratively(Plan):
    """A tenth more in every round; the rounds share the fit but for its last fraction `final`."""

    label = "iterative"
    knobs = ("imp_step", "final")

    def targets(self, sparsity: float, knobs: Knobs) -> tuple[float, ...]:
        """The sparsity after each round."""
        return round_targets(sparsity, knobs.imp_step)

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Schedule:
        targets = self.targets(sparsity, knobs)
        length = int((1 - knobs.final) * updates) // max(1, len(targets))
        if length == 0:
            share = f"{1 - knobs.final:.0%} of the fit's {updates} updates"
            raise ValueError(
                f"{len(targets)} rounds need more than {share}: train longer or lower final={knobs.final:g}"
            )
        return Rounds(targets, length)


@dataclass(frozen=True)
class RampedTarget(Plan):
    """A target that rises linearly over the fraction `ramp` of the fit; what is chosen is fixed at `settle`."""

    label = "ramped target"
    means = (GATES,)
    knobs = ("ramp", "settle")

    def __call__(self, sparsity: float, updates: int, knobs: Knobs) -> Ramp:
        return Ramp(sparsity, max(1, round(knobs.ramp * updates)), round(knobs.settle * updates))


def spacing(interval: float, updates: float) -> int:
    """Updates between two masks: `interval` itself from 1 on, below it that fraction of `updates`."""
    return max(1, round(interval if interval >= 1 else interval * updates))
